"""The health of a node or connection as a value that can be read, and awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
import trio


class State(Enum):
    """Where a node or connection is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"  # lost its peer, backing off
    DEGRADED = "degraded"  # works, but something is wrong
    FAILED = "failed"
    STOPPED = "stopped"


class Status(msgspec.Struct, frozen=True):
    """What a node says about itself. ``since`` is Unix seconds, ``retry_in`` seconds from then."""

    state: State
    code: str = ""
    text: str = ""
    since: float = 0.0
    retry_in: float | None = None

    def same_as(self, other: Status) -> bool:
        """Tell whether both say the same, whenever they said it and however long they back off."""
        return (self.state, self.code, self.text) == (other.state, other.code, other.text)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as reports, status messages and the control socket show it."""
        shown: dict[str, Any] = {
            "state": self.state.value,
            "code": self.code,
            "text": self.text,
            "since": self.since,
        }
        if self.retry_in is not None:
            shown["retry_in"] = round(self.retry_in, 3)
        return shown


class StatusCell:
    """Holds the status of one node and tells of each change, once."""

    def __init__(self, on_change: Callable[[Status], None] | None = None) -> None:
        self._status = Status(State.STARTING, since=time.time())
        self._on_change = on_change
        self._changed = trio.Event()

    @property
    def value(self) -> Status:
        """The status now."""
        return self._status

    def why_away(self) -> str:
        """Return why nothing is taken now, as the end of a sentence; empty where nothing hinders it."""
        status = self._status
        if status.state in (State.RUNNING, State.DEGRADED):
            return ""
        reason = f": {status.code} {status.text}" if status.code else ""
        return f", and its reader is {status.state.value}{reason}"

    def set(
        self, state: State, code: str = "", text: str = "", *, retry_in: float | None = None
    ) -> None:
        """Replace the status. The same words again are no change, only a newer ``retry_in``."""
        status = Status(state, code, text, time.time(), retry_in)
        before, self._status = self._status, status
        if status.same_as(before):
            self._status = msgspec.structs.replace(status, since=before.since)
            return
        if self._on_change is not None:
            self._on_change(status)
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def wait_change(self) -> Status:
        """Return the next status that differs from the one now."""
        await self._changed.wait()
        return self._status

    async def wait_until(self, wanted: Callable[[Status], bool]) -> Status:
        """Return the first status, this one included, for which ``wanted`` is true."""
        while not wanted(self._status):
            await self._changed.wait()
        await trio.lowlevel.checkpoint()
        return self._status
