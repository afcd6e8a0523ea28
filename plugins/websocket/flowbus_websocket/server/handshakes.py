"""Who has connected and not yet opened a WebSocket: so many, and the oldest gives way."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import trio


class Handshakes:
    """The handshakes in progress, ``places`` at most.

    Whoever connects and says nothing takes a place and keeps it until its time is up; a client that
    means it is quick. So when all places are taken the oldest is given up, not the newest refused.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._turns: dict[Turn, None] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def turn(self) -> Turn:
        """Return a context for one more."""
        return Turn(self)

    def begin(self, turn: Turn) -> None:
        """Give ``turn`` a place, that of the oldest where there is none."""
        while len(self._turns) >= self._places:
            oldest = next(iter(self._turns))
            del self._turns[oldest]
            oldest.give_way()
        self._turns[turn] = None

    def end(self, turn: Turn) -> None:
        """Have the place of ``turn`` back."""
        self._turns.pop(turn, None)

    def end_all(self) -> None:
        """Give up every one."""
        for turn in self._turns:
            turn.scope.cancel()


class Turn:
    """One handshake in progress; cancelling its ``scope`` ends the block, which is no exception."""

    def __init__(self, handshakes: Handshakes) -> None:
        self.scope = trio.CancelScope()
        self.gave_way = False
        self._handshakes = handshakes

    def give_way(self) -> None:
        """Make room for another one."""
        self.gave_way = True
        self.scope.cancel()

    def __enter__(self) -> Self:
        self._handshakes.begin(self)
        self.scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._handshakes.end(self)
        return self.scope.__exit__(kind, error, trace)
