"""The message that is coming in: its fragments put together, or handed on one by one."""

from __future__ import annotations

import codecs
import io
from typing import Final, NamedTuple

from flowbus_websocket.protocol.codes import POLICY, TOO_BIG
from flowbus_websocket.protocol.deflate import Inflater
from flowbus_websocket.protocol.encoder import TEXT
from flowbus_websocket.protocol.violation import Violation

MAX_EMPTY: Final = 1000  # fragments of a message that bring nothing; only an attack has more

_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class Fragment(NamedTuple):
    """A part of a message that came in several frames: text as str, binary as bytes."""

    payload: str | bytes
    final: bool


Item = str | bytes | Fragment


class Assembly:
    """Takes the frames of one message after the other.

    ``max_message`` bounds the bytes of a message; with ``fragments``, which hands on each frame by
    itself, the bytes of one fragment. Both are counted when they are inflated.
    """

    def __init__(self, max_message: int, inflater: Inflater | None, *, fragments: bool) -> None:
        self.kind = 0  # between messages
        self.compressed = False
        self._max_message = max_message
        self._inflater = inflater
        self._fragments = fragments
        self._size = 0  # bytes of what is being put together
        self._came = 0  # those of them that the frame in progress has brought
        self._empty = 0
        self._first = True
        self._binary = bytearray()
        self._text = io.StringIO()
        self._utf8 = _UTF8()

    def begin(self, kind: int, *, compressed: bool) -> None:
        """Begin a message."""
        self.kind = kind
        self.compressed = compressed
        self._first = True
        self._empty = 0

    def announce(self, size: int) -> None:
        """Begin a frame; Violation where the message becomes too long by it."""
        self._came = 0
        if not self.compressed:
            self._count(size)

    def add(self, piece: bytes) -> None:
        """Take in some bytes of a frame, unmasked; Violation, UnicodeDecodeError."""
        if self.compressed:
            assert self._inflater is not None
            piece = self._inflater.piece(piece, self._max_message - self._size)
            self._count(len(piece))
        self._write(piece)

    def end_frame(self, *, final: bool) -> Item | None:
        """Return what the frame completes, a message or a fragment; Violation, UnicodeDecodeError."""
        if final:
            self._end_text_and_deflate()
        elif not self._came:
            self._empty += 1
            if self._empty > MAX_EMPTY:
                raise Violation(POLICY, f"more than {MAX_EMPTY} empty fragments of a message")
        if not final and not self._fragments:
            return None
        payload = self._take()
        whole, self._first = final and self._first, False
        if final:
            self.kind = 0
        elif not payload:
            return None  # nothing yet, or the first bytes of a character
        return payload if whole or not self._fragments else Fragment(payload, final)

    def inflated(self) -> int:
        """Return how many bytes the frame that has ended brought, 0 where it was not compressed."""
        return self._came if self.compressed else 0

    def _end_text_and_deflate(self) -> None:
        if self.compressed:
            assert self._inflater is not None
            rest = self._inflater.end(self._max_message - self._size)
            self._count(len(rest))
            self._write(rest)
        if self.kind == TEXT:
            self._text.write(self._utf8.decode(b"", final=True))
            self._utf8.reset()

    def _count(self, size: int) -> None:
        self._came += size
        self._size += size
        if self._size > self._max_message:
            what = "fragment" if self._fragments else "message"
            raise Violation(TOO_BIG, f"a {what} of more than {self._max_message} bytes")

    def _write(self, piece: bytes) -> None:
        if self.kind == TEXT:
            self._text.write(self._utf8.decode(piece))
        else:
            self._binary += piece

    def _take(self) -> str | bytes:
        self._size = 0
        if self.kind == TEXT:
            text, self._text = self._text.getvalue(), io.StringIO()
            return text
        binary, self._binary = bytes(self._binary), bytearray()
        return binary
