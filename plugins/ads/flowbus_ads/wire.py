"""One TCP socket, read by one task, written by one task that joins what others have put.

A stream object costs two switches of task a request; here a put is an append, and one system call
sends what all tasks of a tick have put.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

import trio

from flowbus import Fault, Lost
from flowbus_ads import faults

_CHUNK: Final = 256 * 1024
_MOST_UNREAD: Final = 16 << 20
_UNREACHABLE: Final = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN))
_TIMED_OUT: Final = frozenset((errno.ETIMEDOUT,))


class Wire:
    """A connected, non-blocking socket with an output buffer.

    ``local`` and ``peer`` are the IP addresses of both sides, ``received`` counts bytes. Raises OSError when the connection
    has already ended.
    """

    def __init__(self, sock: socket.socket, *, local: str = "", peer: str = "") -> None:
        """``local`` and ``peer`` are given where the socket itself does not know them."""
        self._sock = sock
        self.local, self.peer = local, peer
        try:
            sock.setblocking(False)
            if not peer:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.local, self.peer = str(sock.getsockname()[0]), str(sock.getpeername()[0])
        except OSError:
            sock.close()
            raise
        self.received = 0
        self._out = bytearray()
        self._chunk = bytearray(_CHUNK)
        self._view = memoryview(self._chunk)
        self._parked: trio.lowlevel.Task | None = None
        self._woken = False

    @property
    def queued(self) -> int:
        """Bytes put but not yet handed to the operating system."""
        return len(self._out)

    def put(self, data: bytes) -> None:
        """Append ``data`` to the output and wake the writer."""
        self._out += data
        self.wake()

    def put_quietly(self, data: bytes) -> None:
        """Append ``data``; the caller calls :meth:`flush_now` soon."""
        self._out += data

    def wake(self) -> None:
        """Let :meth:`wait_output` return, at the end of this tick."""
        task, self._parked = self._parked, None
        if task is None:
            self._woken = True
        else:
            trio.lowlevel.reschedule(task)

    async def wait_output(self) -> None:
        """Wait until something was put or :meth:`wake` was called. For one task."""
        if not self._woken:
            self._parked = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._unpark)
        self._woken = False

    def _unpark(self, _: Any) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def flush(self) -> None:
        """Send all that was put; waits only when the socket is full. For one task at a time."""
        out = self._out
        while out:
            try:
                sent = self._sock.send(out)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                del out[:sent]

    def flush_now(self) -> None:
        """Send what the socket takes at once; the rest, and an error, are the writer's."""
        try:
            del self._out[: self._sock.send(self._out)]
        except OSError:
            self.wake()
        else:
            if self._out:
                self.wake()

    async def receive(self) -> bytes:
        """Wait for bytes and return them; ``b""`` is the end of the stream."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                size = self._sock.recv_into(self._chunk)
            except BlockingIOError:
                continue
            self.received += size
            return bytes(self._view[:size])

    def unread(self) -> int:
        """Return how many bytes have come that :meth:`receive` has not returned yet, at most 16 MiB."""
        try:
            return len(self._sock.recv(_MOST_UNREAD, socket.MSG_PEEK))
        except OSError:  # none, or the connection has ended, which the reader will see
            return 0

    def close(self) -> None:
        """Close the socket; a waiting reader or writer gets trio.ClosedResourceError."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()


async def dial(host: str, port: int, timeout: float) -> Wire:
    """Connect within ``timeout`` seconds. Raises Lost with the fault that fits."""
    place = f"{host}:{port}"
    try:
        with trio.fail_after(timeout):
            stream = await trio.open_tcp_stream(host, port)
        return Wire(_stdlib(stream))
    except trio.TooSlowError:
        raise Lost(faults.CONNECT_TIMEOUT, f"{place} did not accept within {timeout:g} s") from None
    except socket.gaierror as error:
        raise Lost(faults.HOST_NOT_FOUND, f"{host}: {error.strerror}") from error
    except OSError as error:
        raise Lost(_dial_fault(error), f"{place}: {_reason(error)}") from error


def _stdlib(stream: trio.SocketStream) -> socket.socket:
    return socket.socket(fileno=stream.socket.detach())


def accepted(stream: trio.SocketStream) -> Wire:
    """Return the wire of a connection that a listener accepted."""
    return Wire(_stdlib(stream))


def _leaf(error: OSError) -> OSError:
    """Trio wraps the attempts on several addresses in one OSError with a cause; return a plain one."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return cause if isinstance(cause, OSError) else error


def _dial_fault(error: OSError) -> Fault:
    leaf = _leaf(error)
    if isinstance(leaf, ConnectionRefusedError):
        return faults.CONNECTION_REFUSED
    if leaf.errno in _UNREACHABLE:
        return faults.HOST_UNREACHABLE
    return faults.CONNECT_TIMEOUT if leaf.errno in _TIMED_OUT else faults.CANNOT_CONNECT


def _reason(error: OSError) -> str:
    leaf = _leaf(error)
    return leaf.strerror or str(leaf)
