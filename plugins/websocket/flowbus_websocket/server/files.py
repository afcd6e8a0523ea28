"""The folder from which files are sent: nothing outside of it can be had."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import trio

from flowbus import Rejected
from flowbus_websocket.faults import named

THREADS: Final = 4  # that read files at the same time


class OpenFile:
    """A file that is being read, in threads, so that a slow disk holds nobody up."""

    def __init__(self, descriptor: int, limiter: trio.CapacityLimiter) -> None:
        self._descriptor = descriptor
        self._limiter = limiter

    async def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end; Rejected where the disk fails."""
        try:
            return await trio.to_thread.run_sync(
                os.read, self._descriptor, size, limiter=self._limiter
            )
        except OSError as error:
            raise Rejected(named("file_unreadable"), f"the file broke off: {error}") from None

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


class Folder:
    """The option ``files``; None where it is not given."""

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._limiter = trio.CapacityLimiter(THREADS)

    async def open(self, name: str) -> OpenFile:
        """Open a file by its path below the folder; Rejected where there is none, or it is elsewhere."""
        if self._root is None:
            raise Rejected(named("file_refused"), "the option files, their folder, is not given")
        if not name or "\0" in name:
            raise Rejected(named("file_refused"), f"headers.file is {name!r}, no path of a file")
        try:
            descriptor = await trio.to_thread.run_sync(
                _open, Path(self._root), name, limiter=self._limiter
            )
        except OSError as error:
            why = error.strerror or str(error)
            raise Rejected(named("file_unreadable"), f"{name}: {why}") from None
        return OpenFile(descriptor, self._limiter)


def _open(root: Path, name: str) -> int:
    """Return a descriptor; OSError, or Rejected where the path leads out of the folder."""
    folder = root.resolve(strict=True)
    path = (folder / name).resolve(strict=True)  # also where symbolic links lead
    if not path.is_relative_to(folder):
        raise Rejected(named("file_refused"), f"{name} is not inside the folder files")
    # Without blocking: opening a pipe would wait for somebody who writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise Rejected(named("file_refused"), f"{name} is no regular file")
