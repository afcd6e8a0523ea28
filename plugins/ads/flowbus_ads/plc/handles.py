"""The handles of a simulated PLC: numbers that stand for a symbol's name, or for a method's."""

from __future__ import annotations

from typing import Final, NamedTuple

from flowbus_ads.plc.memory import Place
from flowbus_ads.protocol.constants import ErrorCode
from flowbus_ads.protocol.signatures import Signature

_MAX_HANDLES: Final = 100_000


class MethodCall(NamedTuple):
    """What the handle of a method stands for: ``MAIN.fb#Method``, its parameters, the answer."""

    name: str
    signature: Signature
    answer: bytes


class HandleTable:
    """Handles by number, never given out twice. An online change makes all of them stale."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._places: dict[int, Place] = {}
        self._calls: dict[int, MethodCall] = {}
        self._stale: set[int] = set()

    def __len__(self) -> int:
        """Handles that clients have not released, the stale ones too."""
        return len(self._places) + len(self._stale)

    def new(self, place: Place, call: MethodCall | None = None) -> int | None:
        """Return a handle for a place or for a method of it; None when there are too many."""
        if len(self) >= _MAX_HANDLES:
            return None
        handle = self._next
        self._next += 1
        self._places[handle] = place
        if call is not None:
            self._calls[handle] = call
        return handle

    def place(self, handle: int) -> Place | ErrorCode:
        """Return what a handle stands for, or what its user is told."""
        found = self._places.get(handle)
        if found is not None:
            return found
        stale = handle in self._stale
        return ErrorCode.SYMBOL_VERSION_INVALID if stale else ErrorCode.SYMBOL_NOT_FOUND

    def call(self, handle: int) -> MethodCall | ErrorCode:
        """Return the method that a handle stands for, or what its user is told."""
        found = self.place(handle)
        if isinstance(found, ErrorCode):
            return found
        return self._calls.get(handle, ErrorCode.INVALID_ACCESS)

    def release(self, handle: int) -> ErrorCode:
        """Forget a handle."""
        known = handle in self._places or handle in self._stale
        self._places.pop(handle, None)
        self._calls.pop(handle, None)
        self._stale.discard(handle)
        return ErrorCode.NONE if known else ErrorCode.SYMBOL_NOT_FOUND

    def make_stale(self) -> None:
        """Let no handle be used any more; each is still there until it is released."""
        self._stale.update(self._places)
        self._places.clear()
        self._calls.clear()
