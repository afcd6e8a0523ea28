"""What waits to be sent on one connection, and who wants to know what became of it."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import trio

from flowbus import Fault

SEND_CHUNK: Final = 65536  # bytes; frames are joined up to about this size


class Posted(Protocol):
    """Who wants to know what became of a posted message; a delivery does."""

    def confirm(self) -> None:
        """Be told that the stream has taken it."""

    def reject(self, reason: Fault, text: str) -> None:
        """Be told that the connection ended before."""


class Outbox:
    """The frames of messages in their order; they leave it in batches."""

    def __init__(self) -> None:
        #: Bytes that have not been sent yet.
        self.size = 0
        self._waiting: deque[tuple[bytes, Posted]] = deque()
        self._in_batch = 0  # how many of them are being sent just now
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, frames: bytes, posted: Posted) -> None:
        """Put the frames of one message behind all others."""
        self._waiting.append((frames, posted))
        self.size += len(frames)

    async def wait_size(self, size: int) -> None:
        """Return once at most ``size`` bytes have not been sent."""
        while self.size > size:
            await self._changed.wait()

    def begin_batch(self) -> list[bytes]:
        """Return the frames to send next; :meth:`end_batch` says that they were, or were not."""
        if self.size <= SEND_CHUNK:
            batch = [frames for frames, _ in self._waiting]
        else:
            batch, size = [], 0
            for frames, _ in self._waiting:
                batch.append(frames)
                size += len(frames)
                if size >= SEND_CHUNK:
                    break
        self._in_batch = len(batch)
        return batch

    def end_batch(self, *, sent: bool) -> int:
        """Confirm the messages of the batch if it was ``sent``; return how many those are."""
        count, self._in_batch = self._in_batch, 0
        if not sent:
            return 0
        for _ in range(count):
            frames, posted = self._waiting.popleft()
            self.size -= len(frames)
            posted.confirm()
        self._tell()
        return count

    def reject(self, fault: Fault, text: str) -> None:
        """Tell everybody whose message is not being sent already that it will not be."""
        while len(self._waiting) > self._in_batch:
            frames, posted = self._waiting[self._in_batch]
            del self._waiting[self._in_batch]
            self.size -= len(frames)
            posted.reject(fault, text)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
