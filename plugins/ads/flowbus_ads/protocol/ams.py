"""AMS/TCP framing: a stream of bytes into frames, frames into bytes.

A frame is the AMS/TCP header (2 bytes reserved = 0, 4 bytes length) and the AMS header of 32
bytes, all little endian, then the data. Source: ADS Specification, "AMS/TCP Packet".

Rules: bytes may arrive in pieces of any size. A header that cannot be AMS ends the stream: there
is no mark to find the next frame by, so the reader refuses all further bytes.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from flowbus_ads.protocol.constants import Command
from flowbus_ads.protocol.errors import ProtocolError

HEADER: Final = Struct("<HI8s8sHHIII")
"""Reserved, length; target, source, command, state flags, data length, error, invoke id."""

HEADER_SIZE: Final = HEADER.size
_AMS_SIZE: Final = 32
_LAST_COMMAND: Final = max(Command)
MAX_DATA: Final = 16 << 20
"""Bytes of data that a frame may have unless told otherwise: a large symbol upload is 10 MB."""


class Frame(msgspec.Struct, gc=False):
    """One AMS frame. ``target`` and ``source`` are AMS addresses of eight bytes."""

    target: bytes
    source: bytes
    command: int
    flags: int
    error: int
    invoke_id: int
    data: bytes


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of ``frame``."""
    size = len(frame.data)
    return (
        HEADER.pack(
            0, _AMS_SIZE + size, frame.target, frame.source, frame.command, frame.flags,
            size, frame.error, frame.invoke_id,
        )
        + frame.data
    )  # fmt: skip


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self, max_data: int = MAX_DATA) -> None:
        self._rest = bytearray()
        self._needed = HEADER_SIZE
        self._max_data = max_data
        self._broken: str | None = None

    @property
    def pending(self) -> int:
        """Bytes received that are not a whole frame yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """Take in ``data`` and return the frames that are complete now.

        Raises ProtocolError where the bytes cannot be AMS or announce more than ``max_data``;
        frames before the bad bytes of the same call are lost with the stream.
        """
        if self._broken is not None:
            raise ProtocolError(self._broken)
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        frames: list[Frame] = []
        position, end = 0, len(data)
        self._needed = HEADER_SIZE
        while end - position >= HEADER_SIZE:
            header = HEADER.unpack_from(data, position)
            reserved, length, target, source, command, flags, size, error, invoke_id = header
            if reserved or length != size + _AMS_SIZE or not 0 < command <= _LAST_COMMAND:
                self._refuse(reserved, length, command, size)
            if size > self._max_data:
                self._fail(f"a frame announces {size} bytes of data, the limit is {self._max_data}")
            start = position + HEADER_SIZE
            if end - start < size:
                self._needed = HEADER_SIZE + size
                break
            position = start + size
            value = data[start:position]
            frames.append(Frame(target, source, command, flags, error, invoke_id, value))
        if position < end:
            self._keep(data[position:])
        return frames

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a frame; the first two bytes already tell garbage from AMS."""
        if rest[:2] != b"\0\0"[: len(rest)]:
            self._fail(f"a frame begins with {rest[:2].hex()} where 0000 must stand")
        self._rest += rest

    def _refuse(self, reserved: int, length: int, command: int, size: int) -> None:
        if reserved:
            self._fail(f"an AMS/TCP header begins with 0x{reserved:04x} where 0x0000 must stand")
        if length != size + _AMS_SIZE:
            self._fail(f"an AMS/TCP header of length {length} announces {size} bytes of data")
        self._fail(f"an AMS header has the unknown command {command}")

    def _fail(self, text: str) -> None:
        self._broken = text
        raise ProtocolError(text)
