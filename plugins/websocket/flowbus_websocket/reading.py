"""Reading from a stream in one task, in a way that another one can break off.

For plain TCP the price of a message that comes alone is mostly that of one read, so a socket is read
without a cancel scope around it and without first finding out that nothing is there.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol

import trio

from flowbus_websocket.pace import PacedStream

# Bytes taken from the system at a time: more make a message cheaper, up to what malloc (glibc) keeps in
# its heap; from 128 KiB on each buffer is mapped anew.
RECEIVE_BUFFER: Final = 120 << 10


class Reader(Protocol):
    """One direction of a stream. ``waiting`` is true while :meth:`read` is."""

    waiting: bool

    async def read(self) -> bytes | None:
        """Return what has come, b"" at the end of the stream, None where it was broken off.

        BrokenResourceError or ClosedResourceError where the stream is.
        """

    def hold(self) -> None:
        """Have a read that waits take nothing: it returns None, at the latest when something comes."""

    def wake(self) -> None:
        """Have a read that waits return None now."""


class StreamReader:
    """Reads from any stream."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self.waiting = False
        self._stream = stream
        self._scope = trio.CancelScope()

    async def read(self) -> bytes | None:
        """Read, see :class:`Reader`."""
        self.waiting = True
        try:
            with trio.CancelScope() as self._scope:
                return bytes(await self._stream.receive_some(RECEIVE_BUFFER))
        finally:
            self.waiting = False
        return None

    def hold(self) -> None:
        """Break a read off before it takes anything."""
        self._scope.cancel()

    def wake(self) -> None:
        """Break a read off now."""
        self._scope.cancel()


class SocketReader:
    """Reads from a socket, by its descriptor.

    That is asked for at each turn: once the socket is closed it may be that of another one.
    """

    def __init__(self, socket: trio.socket.SocketType) -> None:
        self.waiting = False
        self._socket = socket
        self._held = False

    async def read(self) -> bytes | None:
        """Read, see :class:`Reader`."""
        descriptor = self._socket.fileno
        self._held, self.waiting = False, True
        try:
            await trio.lowlevel.wait_readable(descriptor())
            return None if self._held else os.read(descriptor(), RECEIVE_BUFFER)
        except BlockingIOError:
            return None  # what the system had announced is not there after all
        except trio.ClosedResourceError:
            if self._held and descriptor() >= 0:
                return None
            raise
        except OSError as error:
            if descriptor() < 0:
                raise trio.ClosedResourceError("this socket is closed") from None
            raise trio.BrokenResourceError(f"receiving failed: {error}") from error
        finally:
            self.waiting = False

    def hold(self) -> None:
        """Break a read off before it takes anything."""
        self._held = True

    def wake(self) -> None:
        """Break a read off now."""
        self._held = True
        if self.waiting:
            trio.lowlevel.notify_closing(self._socket.fileno())


def reader_of(stream: trio.abc.ReceiveStream) -> Reader:
    """Return what reads from ``stream`` at the lowest price."""
    plain = stream.stream if isinstance(stream, PacedStream) else stream
    if isinstance(plain, trio.SocketStream) and sys.platform != "win32":
        return SocketReader(plain.socket)
    return StreamReader(stream)
