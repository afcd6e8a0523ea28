"""A flow's status as rows of a table, and the rates between two looks at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One node or connection; the counters of a connection are None. ``since`` in Unix seconds."""

    name: str
    type: str
    state: str
    code: str
    text: str
    since: float
    restarts: int
    taken: int | None = None
    sent: int | None = None
    rejected: int | None = None
    depth: int | None = None

    @property
    def is_connection(self) -> bool:
        """Whether it is a connection and no node."""
        return self.taken is None


def rows(status: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a status: its connections, then its nodes, as the file has them."""
    depths: Counter[str] = Counter()
    for wire in status["wires"]:
        depths[wire["to"]] += wire["depth"]
    peers = [_row(name, shown) for name, shown in status["connections"].items()]
    nodes = [
        _row(
            name, shown, taken=shown["taken"], sent=shown["sent"], rejected=shown["rejected"],
            depth=depths[name],
        )
        for name, shown in status["nodes"].items()
    ]  # fmt: skip
    return peers + nodes


def _row(name: str, shown: Mapping[str, Any], **counted: int) -> Row:
    known = ("type", "state", "code", "text", "since", "restarts")
    fields: dict[str, Any] = {key: shown[key] for key in known} | counted
    return Row(name=name, **fields)


def states(found: list[Row]) -> str:
    """Return how many are in which state: ``7 running, 1 waiting``."""
    counts = Counter(row.state for row in found)
    return ", ".join(f"{count} {state}" for state, count in counts.most_common()) or "nothing runs"


class Rates:
    """Messages per second in and out of each node, between two looks."""

    def __init__(self) -> None:
        self._when: float | None = None
        self._counts: dict[str, tuple[int, int]] = {}
        self._rates: dict[str, tuple[float, float]] = {}

    def look(self, now: float, found: list[Row]) -> Mapping[str, tuple[float, float]]:
        """Return the rates by node since the last look; ``now`` in seconds of a steady clock."""
        counts = {r.name: (r.taken or 0, r.sent or 0) for r in found if not r.is_connection}
        if self._when is None or now > self._when:
            passed = 1.0 if self._when is None else now - self._when
            known = counts if self._when is None else self._counts
            self._rates = {
                name: ((taken - known[name][0]) / passed, (sent - known[name][1]) / passed)
                for name, (taken, sent) in counts.items()
            }
            self._when, self._counts = now, counts
        return self._rates
