"""Frames out: what one side sends, as bytes (RFC 6455, section 5.2)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import Final

from flowbus_websocket.protocol.codes import NO_STATUS, sendable
from flowbus_websocket.protocol.mask import mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

FIN: Final = 0x80
MAX_CONTROL: Final = 125
MAX_REASON: Final = MAX_CONTROL - 2

_MASKED: Final = 0x80
_TWO: Final = struct.Struct("!BB").pack
_FOUR: Final = struct.Struct("!BBH").pack
_TEN: Final = struct.Struct("!BBQ").pack


class FrameEncoder:
    """Builds the frames of one side; a client's are ``masked``.

    Messages longer than ``max_frame`` bytes are sent in fragments of that size; 0 means never.
    """

    def __init__(self, *, masked: bool, max_frame: int = 0) -> None:
        self.masked = masked
        self.max_frame = max_frame or 1 << 63

    def message(self, payload: str | bytes) -> bytes:
        """Return the frame, or the fragments, of one message: text for a str, else binary."""
        if isinstance(payload, str):
            kind, data = TEXT, payload.encode()
        else:
            kind, data = BINARY, payload
        if len(data) > self.max_frame:
            return b"".join(self._fragments(kind, data))
        return self._frame(FIN | kind, data)

    def ping(self, payload: bytes = b"") -> bytes:
        """Return a Ping with at most 125 bytes."""
        return self._control(PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """Return a Pong with at most 125 bytes."""
        return self._control(PONG, payload)

    def close(self, code: int, reason: str = "") -> bytes:
        """Return a Close; 1005 stands for one without a code. A long reason is cut.

        ValueError for a code that must not be sent.
        """
        if code == NO_STATUS:
            return self._control(CLOSE, b"")
        if not sendable(code):
            raise ValueError(f"close code {code} cannot be sent")
        # Cutting may split a character; what is left of it must not be sent.
        text = reason.encode()[:MAX_REASON].decode(errors="ignore").encode()
        return self._control(CLOSE, code.to_bytes(2) + text)

    def _control(self, kind: int, payload: bytes) -> bytes:
        if len(payload) > MAX_CONTROL:
            raise ValueError(f"a control frame carries at most {MAX_CONTROL} bytes")
        return self._frame(FIN | kind, payload)

    def _fragments(self, kind: int, data: bytes) -> Iterable[bytes]:
        last = len(data) - self.max_frame
        for start in range(0, len(data), self.max_frame):
            fin = FIN if start >= last else 0
            yield self._frame(fin | kind, data[start : start + self.max_frame])
            kind = CONTINUATION

    def _frame(self, first: int, data: bytes) -> bytes:
        size = len(data)
        if self.masked:
            key = os.urandom(4)  # unpredictable and fresh for every frame (section 5.3)
            return _head(first, size, _MASKED) + key + mask(data, key)
        return _head(first, size, 0) + data


def _head(first: int, size: int, masked: int) -> bytes:
    if size < 126:
        return _TWO(first, masked | size)
    if size < 65536:
        return _FOUR(first, masked | 126, size)
    return _TEN(first, masked | 127, size)
