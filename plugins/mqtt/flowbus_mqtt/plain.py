"""Reading and writing at the lowest price: plain TCP by the descriptor of its socket.

What comes alone costs mostly one read and one write, and a stream of trio does more than that for
each: it tries to read what is not there yet, and changes tasks after a write. TLS has a state of its
own and goes the usual way, as does Windows, where a socket is no file.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import trio

from flowbus_mqtt.dial import Stream

_WINDOWS: Final = sys.platform == "win32"


def write_now(stream: Stream, data: bytes) -> int:
    """Hand bytes to the operating system without waiting; return how many it took, 0 if it cannot."""
    if _WINDOWS or not isinstance(stream, trio.SocketStream):
        return 0
    try:
        return os.write(stream.socket.fileno(), data)
    except OSError:  # the buffer is full, or the socket broken: the writer will find out
        return 0


async def read(stream: Stream, size: int) -> bytes:
    """Wait for what comes, at most ``size`` bytes; b"" at the end of the stream.

    BrokenResourceError or ClosedResourceError as of a stream.
    """
    if _WINDOWS or not isinstance(stream, trio.SocketStream):
        return bytes(await stream.receive_some(size))
    socket = stream.socket
    while True:
        try:
            await trio.lowlevel.wait_readable(socket.fileno())
            # Asked for anew: once the socket is closed, the old descriptor may be that of another.
            return os.read(socket.fileno(), size)
        except BlockingIOError:
            continue  # what the system had announced is not there after all
        except OSError as error:
            if socket.fileno() < 0:
                raise trio.ClosedResourceError("this socket is closed") from None
            raise trio.BrokenResourceError(f"receiving failed: {error}") from error
