"""Inboxes: what comes to one node over all its wires, and who may do its work without a change of task.

What a wire holds are items, a message with its receipt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from flowbus.clock import Clock
from flowbus.message import Message
from flowbus.receipt import Receipt
from flowbus.waitqueue import WaitQueue

if TYPE_CHECKING:
    from flowbus.wire import Wire

Item = tuple[Message, Receipt]


class Direct(Protocol):
    """A reader that can do its work in the task of the sender; ``is_end`` if nothing is behind it."""

    @property
    def is_end(self) -> bool:
        """True for a sink."""
        ...

    @property
    def behind(self) -> bool:
        """True while something that was computed has not found its place; never for a sink."""
        ...

    def carry(self, items: Sequence[Item]) -> int:
        """Do the work for as many of ``items``, from the first, as can be now; return how many.

        Who is no sink takes all or none.
        """
        ...

    async def hand_over(self) -> None:
        """Wait until what came of it has found its place."""
        ...


class Inbox:
    """All wires into a node, served in turn."""

    __slots__ = ("_clock", "_readers", "_ready", "watched", "wires")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.wires: list[Wire] = []
        self._ready: deque[Wire] = deque()
        self._readers = WaitQueue()
        self.watched = False

    @property
    def depth(self) -> int:
        """Messages that wait on all wires."""
        return sum(wire.depth for wire in self.wires)

    @property
    def idle(self) -> bool:
        """True while nothing waits and the reader is waiting for something."""
        return not self._ready and bool(self._readers)

    def watch(self, on: bool) -> None:
        """Have :meth:`wait_change` return for every message that comes, or no more."""
        self.watched = on
        for wire in self.wires:
            wire.see_policy()

    async def wait_change(self) -> None:
        """Return once something came to an empty wire, or while watched to any."""
        await self._readers.wait()
        self._clock.pulse = self._clock.now()

    def mark(self, wire: Wire) -> None:
        """Note that ``wire`` has something to read, and wake a reader."""
        if not wire.marked:
            wire.marked = True
            self._ready.append(wire)
        self._readers.wake()

    async def take(self, limit: int | None = None) -> tuple[Wire, list[Item]]:
        """Return the backlog of the next wire in turn, at most ``limit`` items, never none.

        No checkpoint while something is there: who loops over it gives way now and then.
        """
        while True:
            while self._ready:
                wire = self._ready.popleft()
                wire.marked = False
                if items := wire.remove(limit):
                    if wire.depth:
                        self.mark(wire)
                    elif self._ready:
                        self._readers.wake()
                    return wire, items
            await self.wait_change()
