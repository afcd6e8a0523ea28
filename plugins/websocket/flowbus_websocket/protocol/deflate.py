"""permessage-deflate: what a compressed message has on the wire (RFC 7692, section 7.2).

The rules:

- zlib's objects, tens of kilobytes each, are made for the first message that needs them, and are
  given back after each message where the context is not taken over;
- what is inflated is bounded while it is inflated: a bomb costs no more than the room there is;
- control frames never come here, so that one between two fragments changes nothing.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from flowbus_websocket.protocol.codes import INVALID_DATA
from flowbus_websocket.protocol.violation import Violation

if TYPE_CHECKING:  # they are no names of zlib at run time
    from zlib import _Compress, _Decompress

LEVEL: Final = 6
MEM_LEVEL: Final = 8

_TAIL: Final = b"\x00\x00\xff\xff"  # how a flush ends; not sent at the end of a message
_NOTHING: Final = b"\x00"  # an empty block, for a message that ends with nothing (section 7.2.3.6)
_MAX_FINAL: Final = 16  # final blocks in what is inflated at once; no more than one has a use

# zlib has no raw deflate with a window of 256 bytes. With one of 512 it looks back 250 bytes at
# most (window less MIN_LOOKAHEAD, 262), which any window of 256 holds.
_LEAST_BITS: Final = 9


class Deflater:
    """Compresses the messages of one side of one connection, in the order in which they are sent.

    Of 2 to the power of ``window_bits`` bytes is the window; with ``takeover`` a message refers to
    those before. It takes about 2^(bits+2) + 2^(mem_level+9) bytes.
    """

    def __init__(
        self,
        window_bits: int,
        *,
        takeover: bool = True,
        level: int = LEVEL,
        mem_level: int = MEM_LEVEL,
    ) -> None:
        self.takeover = takeover
        self.window_bits = max(window_bits, _LEAST_BITS)
        self._level = level
        self._mem_level = mem_level
        self._stream: _Compress | None = None

    def piece(self, data: bytes, *, final: bool) -> bytes:
        """Return ``data`` compressed: a fragment of a message, or with ``final`` what ends it."""
        stream = self._stream
        if stream is None:
            stream = self._stream = zlib.compressobj(
                self._level, zlib.DEFLATED, -self.window_bits, self._mem_level
            )
        packed = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        if not final:
            return packed
        if not self.takeover:
            self._stream = None
        return packed[: -len(_TAIL)] if packed else _NOTHING


class Inflater:
    """Decompresses the messages of a peer."""

    def __init__(self, window_bits: int, *, takeover: bool = True) -> None:
        self.takeover = takeover
        self.window_bits = max(window_bits, _LEAST_BITS)
        self._stream: _Decompress | None = None

    def message(self, data: bytes, room: int) -> bytes:
        """Return the message that ``data`` is, all of it; see :meth:`piece`."""
        plain = self.piece(data + _TAIL, room)
        if not self.takeover:
            self._stream = None
        return plain

    def piece(self, data: bytes, room: int) -> bytes:
        """Return what the next bytes of a message inflate to, as far as is known by now.

        More than ``room`` bytes, one more in fact, are returned where there is more than that:
        nothing can be inflated after it. Violation where the data is broken.
        """
        stream = self._stream
        if stream is None:
            stream = self._stream = zlib.decompressobj(-self.window_bits)
        try:
            plain = stream.decompress(data, room + 1)
            return self._after_final(plain, room) if stream.eof else plain
        except zlib.error as error:
            raise _broken(str(error)) from None

    def end(self, room: int) -> bytes:
        """Return the rest of a message of which all pieces have come; see :meth:`piece`."""
        return self.message(b"", room)

    def _after_final(self, plain: bytes, room: int) -> bytes:
        """Go on behind a block that says it is the last one (section 7.2.3.4 allows them)."""
        for _ in range(_MAX_FINAL):
            assert self._stream is not None
            if not self._stream.eof or len(plain) > room:
                return plain
            rest = self._stream.unused_data
            # What refers to bytes before it would need them as a dictionary; nobody who ends a
            # stream does so.
            self._stream = zlib.decompressobj(-self.window_bits)
            plain += self._stream.decompress(rest, room + 1 - len(plain))
        raise _broken(f"more than {_MAX_FINAL} final blocks")


def _broken(text: str) -> Violation:
    return Violation(INVALID_DATA, f"compressed data is broken: {text}", "decompress_error")
