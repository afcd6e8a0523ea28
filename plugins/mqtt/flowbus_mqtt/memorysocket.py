"""What paho takes for its socket: two byte buffers."""

from __future__ import annotations


class MemorySocket:
    """The ``SocketLike`` of paho: it reads what was fed to it, and what it sends is collected."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._sent = bytearray()
        self._closed = False

    def feed(self, data: bytes) -> None:
        """Let paho read ``data``."""
        self._received += data

    def collect(self) -> bytes:
        """Return what paho has sent since the last call."""
        sent = bytes(self._sent)
        self._sent.clear()
        return sent

    @property
    def pending(self) -> int:
        """Bytes that paho has not read."""
        return len(self._received)

    def recv(self, size: int) -> bytes:
        """Give paho up to ``size`` bytes, or tell it that there are none yet."""
        if not self._received:
            if self._closed:
                return b""
            raise BlockingIOError
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Take all that paho sends."""
        self._sent += data
        return len(data)

    def close(self) -> None:
        """Note that paho has closed it."""
        self._closed = True

    def fileno(self) -> int:
        """There is no descriptor."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """Do nothing: it never blocks."""
