"""One EtherCAT device, looked at again and again: rates of its frames, and what has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import trio

from flowbus_ads import iofacts
from flowbus_ads.iofacts import Look, NotTold
from flowbus_ads.iotree import Master
from flowbus_ads.protocol.iotree import Crc, Frames

_WRAP: Final = 1 << 32
_STEADY: Final = ("state", "fault", "faults", "terminal_count")
"""Fields whose change is news; frames are counted all the time."""


class Seen(NamedTuple):
    """One look: the payload, whether it has news, whether something could not be told."""

    payload: dict[str, Any]
    is_news: bool
    is_whole: bool


class Watch:
    """The master of a device and what the last look at it told."""

    def __init__(self, head: Mapping[str, Any], master: Master) -> None:
        self._head = {"id": head["id"], "name": head["name"]}
        self._master = master
        self._names: dict[int, Any] = {}
        self._addresses: list[int] = []
        self._crc: dict[int, tuple[int, Any]] = {}
        self._frames: tuple[float, Frames] | None = None
        self._news: Any = None
        self._terminals: dict[int, Any] = {}

    @property
    def topic(self) -> str:
        """What its messages are about."""
        return str(self._head["name"] or self._head["id"])

    async def look(self) -> Seen:
        """Look at state, frames, terminals and their CRC errors: two requests, more where they changed.

        Raises Lost with the connection; a master that does not answer is told.
        """
        look = await self._master.look()
        now = trio.current_time()
        facts = {name: fact for name, fact in iofacts.master(look).items() if name != "identity"}
        terminals: list[dict[str, Any]] = []
        if isinstance(look, Look):
            facts["frames"] = self._rates(facts["frames"], look.frames, now)
            terminals = await self._terminals_of(look)
        frames = facts.get("frames") or {}
        steady = [facts.get(name) for name in _STEADY]
        news = (steady, frames.get("cyclic_lost"), frames.get("queued_lost"), terminals)
        known = {terminal["address"]: terminal for terminal in terminals}
        changed = [number for number, one in known.items() if self._terminals.get(number, one) != one]
        is_news, self._news, self._terminals = news != self._news, news, known
        is_whole = not any("faults" in part or "fault" in part for part in (facts, *terminals))
        return Seen({**self._head, **facts, "terminals": terminals, "changed": changed}, is_news, is_whole)

    def _rates(self, frames: dict[str, Any] | None, counted: Any, now: float) -> dict[str, Any] | None:
        """Add frames a second since the last look; None at the first, and after a reset."""
        if frames is None:
            self._frames = None
            return None
        last, self._frames = self._frames, (now, counted)
        return {
            **frames,
            "cyclic_per_s": _rate(last, now, counted, "cyclic"),
            "queued_per_s": _rate(last, now, counted, "queued"),
        }

    async def _terminals_of(self, look: Look) -> list[dict[str, Any]]:
        if look.addresses != self._addresses or any(isinstance(name, NotTold) for name in self._names.values()):
            names = await self._master.names(look.addresses)
            self._names = dict(zip(look.addresses, names, strict=True))
            self._addresses, self._crc = look.addresses, {}
        sums = [] if isinstance(look.crc_sums, NotTold) else look.crc_sums
        await self._read_crc(dict(zip(look.addresses, sums, strict=False)))
        return [self._terminal(look, at) for at in range(len(look.addresses))]

    async def _read_crc(self, sums: Mapping[int, int]) -> None:
        """Read by port the CRC errors of the terminals whose sum is not what it was; no errors are no question."""
        self._crc = {
            number: known
            for number, known in self._crc.items()
            if known[0] == sums.get(number) and not isinstance(known[1], NotTold)
        }
        self._crc |= {number: (0, Crc()) for number, total in sums.items() if not total}
        unknown = [number for number in sums if number not in self._crc]
        if unknown:
            answers = await self._master.crc(unknown)
            self._crc |= {
                number: (sums[number], answer) for number, answer in zip(unknown, answers, strict=True)
            }

    def _terminal(self, look: Look, place: int) -> dict[str, Any]:
        number = look.addresses[place]
        _, crc = self._crc.get(number, (0, look.crc_sums))  # without the sums nothing was asked by port
        return iofacts.terminal(look, place, {"name": self._names[number], "crc": crc})


def _rate(last: tuple[float, Frames] | None, now: float, frames: Frames, name: str) -> float | None:
    if last is None or now <= last[0]:
        return None
    count = (getattr(frames, name) - getattr(last[1], name)) % _WRAP
    return None if count > _WRAP // 2 else round(count / (now - last[0]), 1)
