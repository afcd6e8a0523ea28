"""A TCP stream whose peer has to take something every so often."""

from __future__ import annotations

import errno

import trio

from flowbus import Lost
from flowbus_websocket.faults import named


class PacedStream(trio.abc.HalfCloseableStream):
    """A stream that breaks when its peer has taken nothing of what is sent for ``timeout`` seconds.

    Every byte that it takes begins the time anew. The cause of the BrokenResourceError says so.
    """

    def __init__(self, stream: trio.SocketStream, timeout: float) -> None:
        self.stream = stream
        self._timeout = timeout
        self._sending = trio.Lock()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        async with self._sending:
            with memoryview(data) as rest:
                sent = 0
                while sent < len(rest):
                    sent += await self._send(rest[sent:])

    async def _send(self, data: memoryview) -> int:
        try:
            with trio.move_on_after(self._timeout):
                return await self.stream.socket.send(data)
        except OSError as error:
            if error.errno in (errno.EBADF, errno.ENOTSOCK):
                raise trio.ClosedResourceError("this socket is closed") from None
            raise trio.BrokenResourceError(f"sending failed: {error}") from error
        text = f"the client took nothing for {self._timeout:g} s"
        raise trio.BrokenResourceError(text) from Lost(named("send_timed_out"), text)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room to send."""
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what has come."""
        return await self.stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """End what is sent."""
        await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await self.stream.aclose()
