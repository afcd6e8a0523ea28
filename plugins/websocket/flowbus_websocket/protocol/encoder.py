"""Frames out: what one side sends, as bytes (RFC 6455, section 5.2; RFC 7692, section 6.1).

The rules:

- a message is given whole, or fragment by fragment; between two fragments of one only control
  frames may be built;
- with a deflater the frames of messages must be sent in the order in which they were built, and
  none may be left out: each may refer to those before.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import Final

from flowbus_websocket.protocol.codes import NO_STATUS, sendable
from flowbus_websocket.protocol.deflate import Deflater
from flowbus_websocket.protocol.mask import mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

FIN: Final = 0x80
COMPRESSED: Final = 0x40  # RSV1, on the first frame of a message
MAX_CONTROL: Final = 125
MAX_REASON: Final = MAX_CONTROL - 2

_NAMES: Final = {TEXT: "text", BINARY: "binary"}
_MASKED: Final = 0x80
_TWO: Final = struct.Struct("!BB").pack
_FOUR: Final = struct.Struct("!BBH").pack
_TEN: Final = struct.Struct("!BBQ").pack


class OutOfOrder(ValueError):
    """A message, or a fragment, that does not go with the message that is being sent."""


class FrameEncoder:
    """Builds the frames of one side; a client's are ``masked``.

    Messages longer than ``max_frame`` bytes are sent in fragments of that size; 0 means never. With
    a ``deflater`` messages of at least ``compress_min`` bytes are compressed.
    """

    def __init__(
        self,
        *,
        masked: bool,
        max_frame: int = 0,
        deflater: Deflater | None = None,
        compress_min: int = 0,
    ) -> None:
        self.masked = masked
        self.max_frame = max_frame or 1 << 63
        self.deflater = deflater
        self._compress_min = compress_min
        self._kind = 0  # of the message that is sent in fragments, 0 without one
        self._packing = False  # whether that one is compressed

    @property
    def in_message(self) -> bool:
        """True while the last fragment of a message is still to come."""
        return bool(self._kind)

    def message(self, payload: str | bytes, compress: bool | None = None) -> bytes:
        """Return the frame, or the fragments, of one message: text for a str, else binary.

        ``compress`` says whether to compress it where that was agreed on; without it its size
        decides. OutOfOrder between the fragments of another message.
        """
        if self._kind:
            raise OutOfOrder("a message in fragments is being sent, and its last one is to come")
        if isinstance(payload, str):
            kind, data = TEXT, payload.encode()
        else:
            kind, data = BINARY, payload
        if self.deflater is not None and self.compresses(len(data), compress):
            kind, data = COMPRESSED | kind, self.deflater.piece(data, final=True)
        return self._data(kind, data, FIN)

    def fragment(
        self,
        payload: str | bytes,
        *,
        final: bool,
        text: bool | None = None,
        compress: bool | None = None,
    ) -> bytes:
        """Return the frames for the next part of a message, which ``final`` ends.

        The first part says whether it is text, by its type or by ``text``, which allows for bytes
        of UTF-8 that are cut anywhere, and whether it is compressed. OutOfOrder where a later part
        is of another kind.
        """
        data = payload.encode() if isinstance(payload, str) else payload
        kind = TEXT if (isinstance(payload, str) if text is None else text) else BINARY
        first = CONTINUATION
        if not self._kind:
            self._packing = self.compresses(len(data), compress)
            first = kind | COMPRESSED * self._packing
        elif kind != self._kind:
            raise OutOfOrder(f"{_NAMES[kind]} cannot go on with a message of {_NAMES[self._kind]}")
        self._kind = 0 if final else kind
        if self._packing:
            assert self.deflater is not None
            data = self.deflater.piece(data, final=final)
        return self._data(first, data, FIN if final else 0)

    def compresses(self, size: int, compress: bool | None = None) -> bool:
        """Tell whether a message of so many bytes is compressed."""
        if self.deflater is None:
            return False
        return size >= self._compress_min if compress is None else compress

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

    def _data(self, first: int, data: bytes, fin: int) -> bytes:
        if len(data) <= self.max_frame:
            return self._frame(fin | first, data)
        return b"".join(self._split(first, data, fin))

    def _split(self, first: int, data: bytes, fin: int) -> Iterable[bytes]:
        last = len(data) - self.max_frame
        for start in range(0, len(data), self.max_frame):
            end = fin if start >= last else 0
            yield self._frame(end | first, data[start : start + self.max_frame])
            first = CONTINUATION

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
