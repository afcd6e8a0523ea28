"""The ledger: for every source, how many messages it emitted and how they ended."""

from __future__ import annotations

from typing import Any

from flowbus.receipt import Outcome


class Line:
    """One source's account; ``emitted = confirmed + rejected + expired + dropped + in_flight``."""

    __slots__ = ("emitted", "ended", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.emitted = 0
        self.ended = [0, 0, 0, 0]  # by Outcome

    @property
    def in_flight(self) -> int:
        """Messages that were emitted and have not ended."""
        return self.emitted - sum(self.ended)

    def as_dict(self) -> dict[str, int]:
        """Return the account as the report shows it."""
        ended = {outcome.name.lower(): self.ended[outcome] for outcome in reversed(Outcome)}
        return {"emitted": self.emitted, **ended, "in_flight": self.in_flight}


class Ledger:
    """The lines of all sources of a flow."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def line(self, source: str) -> Line:
        """Return the line of ``source``, opening it at the first call."""
        if source not in self._lines:
            self._lines[source] = Line(source)
        return self._lines[source]

    @property
    def in_flight(self) -> int:
        """Messages of all sources that have not ended."""
        return sum(line.in_flight for line in self._lines.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the sums over all sources, and under ``sources`` each line that was used."""
        lines = [line for line in self._lines.values() if line.emitted]
        sums = Line("")
        sums.emitted = sum(line.emitted for line in lines)
        sums.ended = [sum(line.ended[outcome] for line in lines) for outcome in Outcome]
        return {**sums.as_dict(), "sources": {line.name: line.as_dict() for line in lines}}
