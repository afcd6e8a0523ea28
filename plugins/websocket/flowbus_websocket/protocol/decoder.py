"""Frames in: the bytes that a peer sends, as messages (RFC 6455, section 5).

The rules:

- bytes come in whatever pieces the network makes of them; a message comes out when it is complete;
- a frame that arrived whole and is a message of its own is taken straight from the bytes; any other
  goes piece by piece through the slow path, which checks text as it comes;
- sizes are checked when a header announces them, before a byte of the payload is kept, and again
  while what was compressed is inflated;
- control frames may stand between the fragments of a message and touch nothing of it;
- little data may inflate to much: what has become enough is returned, and the rest waits to be asked
  for, see ``more``;
- after a Close frame, or the first violation, nothing is read any more; ``end`` says which it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from flowbus_websocket.protocol.assembly import Assembly, Item
from flowbus_websocket.protocol.codes import (
    INVALID_DATA,
    NO_STATUS,
    PROTOCOL_ERROR,
    TOO_BIG,
    sendable,
)
from flowbus_websocket.protocol.deflate import Inflater
from flowbus_websocket.protocol.encoder import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
)
from flowbus_websocket.protocol.mask import mask, rotated
from flowbus_websocket.protocol.violation import Violation

_TEXT: Final = FIN | TEXT
_BINARY: Final = FIN | BINARY
_PACKED_TEXT: Final = FIN | COMPRESSED | TEXT
_PACKED_BINARY: Final = FIN | COMPRESSED | BINARY
_NO_LIMIT: Final = 1 << 62
_ENOUGH: Final = 1 << 20  # bytes inflated in one call; at most one message comes on top


class Control(NamedTuple):
    """A Ping or Pong."""

    kind: int
    payload: bytes


class Ended(NamedTuple):
    """Why nothing more is read: a Close frame of the peer, or a violation to close it with.

    ``why`` names the fault of a violation where the code does not say it.
    """

    code: int
    reason: str
    by_peer: bool
    why: str = ""


class FrameDecoder:
    """Turns the bytes of one peer into messages; a client's frames are ``masked``.

    ``max_message`` bounds a message, ``max_frame`` a frame on the wire, both in bytes; 0 means no
    limit of its own. ``inflater`` is there when permessage-deflate was agreed on. With
    ``fragments`` a message of several frames comes as a ``Fragment`` for each; it may be of any
    length then, and ``max_message`` bounds each fragment.
    """

    def __init__(
        self,
        *,
        masked: bool,
        max_message: int,
        max_frame: int = 0,
        inflater: Inflater | None = None,
        fragments: bool = False,
    ) -> None:
        self.fragments = fragments
        self.max_message = max_message or _NO_LIMIT
        self.max_frame = max_frame or self.max_message
        # Data that cannot be compressed becomes a little longer.
        self._max_packed = max_frame or self.max_message + (self.max_message >> 6) + 64
        #: Pings and Pongs in their order; whoever handles them clears the list.
        self.controls: list[Control] = []
        self.end: Ended | None = None
        #: Whether ``receive(b"")`` has more to return before anything else comes.
        self.more = False
        self._masked = masked
        self._inflater = inflater
        self._whole_frames: Callable[[bytes, int, list[Item]], int]
        self._whole_frames = self._whole_masked if masked else self._whole_plain
        self._tail = b""  # the beginning of a header, or of a control frame; what was put off
        self._plain = 0  # bytes inflated in this call
        self._message = Assembly(self.max_message, inflater, fragments=fragments)
        # The frame in progress.
        self._in_frame = False
        self._final = False
        self._left = 0
        self._key = b""

    @property
    def in_message(self) -> bool:
        """True while a part of a message, or of a frame, has arrived and the rest has not."""
        return bool(self._message.kind or self._tail)

    def receive(self, data: bytes) -> list[Item]:
        """Take in the next bytes and return what is complete now, text as str, binary as bytes."""
        messages: list[Item] = []
        if self.end is not None:
            return messages
        if self._tail:
            data = self._tail + data
            self._tail = b""
        self._plain, self.more = 0, False
        try:
            self._read(data, messages)
        except Violation as violation:
            self.end = Ended(violation.code, violation.reason, by_peer=False, why=violation.why)
        except UnicodeDecodeError as error:
            self.end = Ended(INVALID_DATA, f"text is not UTF-8: {error.reason}", by_peer=False)
        return messages

    def _read(self, data: bytes, messages: list[Item]) -> None:
        position, end = 0, len(data)
        while self.end is None:
            if self._plain > _ENOUGH:
                self._tail, self.more = data[position:], position < end
                return
            if self._in_frame:
                position = self._payload(data, position, messages)
                if self._in_frame:
                    return
            if not self._message.kind:
                position = self._whole_frames(data, position, messages)
                if self._plain > _ENOUGH:
                    continue
            if position == end:
                return
            after = self._header(data, position)
            if after is None:
                self._tail = data[position:]
                return
            position = after

    # ---- the fast path: data frames that are whole and final

    def _whole_plain(self, data: bytes, position: int, messages: list[Item]) -> int:
        last = len(data) - 2
        limit = min(self.max_frame, self.max_message)
        while position <= last:
            first = data[position]
            size = data[position + 1]
            start = position + 2
            if size > 125:
                if size != 126 or position + 4 > last + 2:
                    break
                size = data[start] << 8 | data[start + 1]
                start += 2
                if size < 126:
                    break
            stop = start + size
            if stop > last + 2 or size > limit:
                break
            if first == _TEXT:
                messages.append(data[start:stop].decode())
            elif first == _BINARY:
                messages.append(data[start:stop])
            elif self._inflater is not None and first in (_PACKED_TEXT, _PACKED_BINARY):
                messages.append(self._inflated(first, data[start:stop]))
                if self._plain > _ENOUGH:
                    return stop
            else:
                break
            position = stop
        return position

    def _whole_masked(self, data: bytes, position: int, messages: list[Item]) -> int:
        last = len(data) - 6
        limit = min(self.max_frame, self.max_message)
        while position <= last:
            first = data[position]
            size = data[position + 1] - 128  # below 0 where the mask bit is missing
            start = position + 6
            if size > 125:
                if size != 126 or position + 8 > last + 6:
                    break
                size = data[position + 2] << 8 | data[position + 3]
                start += 2
                if size < 126:
                    break
            stop = start + size
            if stop > last + 6 or size > limit or size < 0:
                break
            if first == _TEXT:
                messages.append(mask(data[start:stop], data[start - 4 : start]).decode())
            elif first == _BINARY:
                messages.append(mask(data[start:stop], data[start - 4 : start]))
            elif self._inflater is not None and first in (_PACKED_TEXT, _PACKED_BINARY):
                packed = mask(data[start:stop], data[start - 4 : start])
                messages.append(self._inflated(first, packed))
                if self._plain > _ENOUGH:
                    return stop
            else:
                break
            position = stop
        return position

    def _inflated(self, first: int, packed: bytes) -> str | bytes:
        assert self._inflater is not None
        plain = self._inflater.message(packed, self.max_message)
        if len(plain) > self.max_message:
            raise Violation(TOO_BIG, f"a message of more than {self.max_message} bytes")
        self._plain += len(plain)
        return plain.decode() if first == _PACKED_TEXT else plain

    # ---- the slow path: everything else

    def _header(self, data: bytes, position: int) -> int | None:
        """Read one header, or a whole control frame; return where it ends, None if it does not yet."""
        if len(data) - position < 2:
            return None
        first, second = data[position], data[position + 1]
        kind = first & 0x0F
        if first & 0x30 or (first & COMPRESSED and not self._may_be_compressed(kind)):
            raise Violation(
                PROTOCOL_ERROR, "a reserved bit is set, which no extension allows there"
            )
        if (second >= 0x80) is not self._masked:
            raise Violation(PROTOCOL_ERROR, _WRONG_MASK[self._masked])
        start = position + 2 + (second & 0x7F == 126) * 2 + (second & 0x7F == 127) * 8
        size = second & 0x7F
        if kind >= CLOSE:
            _check_control(kind, first, size)
        elif kind > BINARY:
            raise Violation(PROTOCOL_ERROR, f"unknown opcode {kind}")
        if start + 4 * self._masked > len(data):
            return None
        if size > 125:
            size = _long_size(data[position + 2 : start])
        key = data[start : start + 4] if self._masked else b""
        start += len(key)
        if kind >= CLOSE:
            if start + size > len(data):
                return None
            payload = data[start : start + size]
            self._control(kind, mask(payload, key) if key else payload)
            return start + size
        self._begin_frame(kind, first, size)
        self._key = key
        return start

    def _may_be_compressed(self, kind: int) -> bool:
        """Tell whether RSV1 may be set: on the first frame of a message (RFC 7692, section 6)."""
        return self._inflater is not None and kind in (TEXT, BINARY)

    def _begin_frame(self, kind: int, first: int, size: int) -> None:
        in_message = bool(self._message.kind)
        if (kind == CONTINUATION) is not in_message:
            raise Violation(PROTOCOL_ERROR, _WRONG_ORDER[in_message])
        if not in_message:
            self._message.begin(kind, compressed=bool(first & COMPRESSED))
        limit = self._max_packed if self._message.compressed else self.max_frame
        if size > limit:
            raise Violation(TOO_BIG, f"a frame of {size} bytes, at most {limit} are taken")
        self._message.announce(size)
        self._in_frame, self._final, self._left = True, bool(first & FIN), size

    def _payload(self, data: bytes, position: int, messages: list[Item]) -> int:
        piece = data[position : position + self._left]
        taken = len(piece)
        self._left -= taken
        if self._key:
            piece = mask(piece, self._key)
            self._key = rotated(self._key, taken)
        self._message.add(piece)
        if not self._left:
            self._in_frame = False
            item = self._message.end_frame(final=self._final)
            if item is not None:
                messages.append(item)
            self._plain += self._message.inflated()
        return position + taken

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == CLOSE:
            self.end = Ended(*_read_close(payload), by_peer=True)
        else:
            self.controls.append(Control(kind, payload))


_WRONG_MASK: Final = {
    True: "a client's frame is not masked",
    False: "a server's frame is masked",
}
_WRONG_ORDER: Final = {
    True: "a new message began before the last fragment of the one before",
    False: "a continuation without a message to continue",
}


def _check_control(kind: int, first: int, size: int) -> None:
    if kind not in (CLOSE, PING, PONG):
        raise Violation(PROTOCOL_ERROR, f"unknown opcode {kind}")
    if not first & FIN:
        raise Violation(PROTOCOL_ERROR, "a control frame in fragments")
    if size > 125:
        raise Violation(PROTOCOL_ERROR, "a control frame of more than 125 bytes")


def _long_size(field: bytes) -> int:
    size = int.from_bytes(field)
    if size < 126 or (len(field) == 8 and size < 65536):
        raise Violation(PROTOCOL_ERROR, "a size is not written in the shortest form")
    if size >> 63:
        raise Violation(PROTOCOL_ERROR, "a size has its highest bit set")
    return size


def _read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a Close frame (section 5.5.1); 1005 where it has none."""
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not sendable(code):
        raise Violation(PROTOCOL_ERROR, "a Close frame with an invalid code")
    return code, payload[2:].decode()
