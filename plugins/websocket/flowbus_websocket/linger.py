"""What becomes of a stream whose last word has been sent: the peer is given the time to read it."""

from __future__ import annotations

import contextlib
from typing import Final

import trio

BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
_PIECE: Final = 65536  # bytes


async def send_eof(stream: trio.abc.Stream) -> None:
    """Say that nothing more comes, where the stream can say that."""
    if isinstance(stream, trio.abc.HalfCloseableStream):
        with contextlib.suppress(*BROKEN):
            await stream.send_eof()


async def drain(stream: trio.abc.Stream) -> None:
    """Read to the end, into nothing: closing with unread bytes would take what was sent with it."""
    try:
        while await stream.receive_some(_PIECE):
            pass
    except BROKEN:
        return
