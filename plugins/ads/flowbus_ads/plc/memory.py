"""The memory of a simulated PLC: areas of bytes, and symbols that name parts of them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from flowbus_ads.protocol.codecs import Codec, StringCodec
from flowbus_ads.protocol.constants import ErrorCode, Group
from flowbus_ads.protocol.symbols import SymbolEntry
from flowbus_ads.protocol.types import codec_for, parse_array, type_id_of

_ALIGN: Final = 8
_ELEMENT = re.compile(r"(.+)\[\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]")


class Place(msgspec.Struct, frozen=True, gc=False):
    """A value in memory under the name a client used: a symbol, or an element of an array."""

    name: str
    type_name: str
    group: int
    offset: int
    codec: Codec

    @property
    def size(self) -> int:
        """Bytes."""
        return self.codec.size

    @property
    def is_text(self) -> bool:
        """True where a shorter write is allowed, since a zero ends the value."""
        return isinstance(self.codec, StringCodec)


class PlcMemory:
    """Areas by index group; symbols live in the data area (0x4040), aligned to 8 bytes.

    Names are found without regard to case, as in TwinCAT.
    """

    def __init__(self, encoding: str = "cp1252") -> None:
        self.areas: dict[int, bytearray] = {
            Group.MEMORY_BYTE: bytearray(1 << 16),
            Group.INPUT_BYTE: bytearray(1 << 12),
            Group.OUTPUT_BYTE: bytearray(1 << 12),
            Group.DATA: bytearray(),
        }
        self._encoding = encoding
        self._symbols: dict[str, Place] = {}
        self._comments: dict[str, str] = {}
        self._starts: list[int] = []
        self._order: list[Place] = []

    def __iter__(self) -> Iterator[Place]:
        return iter(self._symbols.values())

    def __len__(self) -> int:
        return len(self._symbols)

    def add(self, name: str, type_name: str, value: Any = None, comment: str = "") -> Place:
        """Declare a symbol. Raises ValueError for a name that is taken, a type or a value that is bad."""
        if name.casefold() in self._symbols:
            raise ValueError(f"symbol {name!r} is declared twice")
        codec = codec_for(type_name, self._encoding)
        data = self.areas[Group.DATA]
        place = Place(name, type_name, Group.DATA, len(data), codec)
        first = bytes(codec.size) if value is None else codec.encode(value)
        data += first.ljust(-(-codec.size // _ALIGN) * _ALIGN, b"\0")
        self._symbols[name.casefold()] = place
        self._comments[name] = comment
        self._starts.append(place.offset)
        self._order.append(place)
        return place

    def remove(self, name: str) -> None:
        """Take a symbol away, as a download of another program does. Raises KeyError."""
        del self._symbols[name.casefold()]

    def find(self, name: str) -> Place | None:
        """Return the place of a symbol or an array element such as ``MAIN.aValue[3]``."""
        place = self._symbols.get(name.casefold())
        if place is not None:
            return place
        match = _ELEMENT.fullmatch(name)
        array = self._symbols.get(match[1].casefold()) if match else None
        if match is None or array is None:
            return None
        return self._element(array, [int(part) for part in match[2].split(",")])

    def _element(self, array: Place, indexes: list[int]) -> Place | None:
        shape = parse_array(array.type_name)
        if shape is None or len(indexes) != len(shape.bounds):
            return None
        flat = 0
        for index, (low, high) in zip(indexes, shape.bounds, strict=True):
            if not low <= index <= high:
                return None
            flat = flat * (high - low + 1) + index - low
        codec = codec_for(shape.element, self._encoding)
        name = f"{array.name}[{','.join(map(str, indexes))}]"
        return Place(name, shape.element, array.group, array.offset + flat * codec.size, codec)

    def entry(self, place: Place) -> SymbolEntry:
        """Return what the PLC says about a place."""
        return SymbolEntry(
            place.name, place.type_name, place.group, place.offset, place.size,
            type_id_of(place.type_name), 8, self._comments.get(place.name, ""),
        )  # fmt: skip

    def read(self, group: int, offset: int, length: int) -> bytes | ErrorCode:
        """Return ``length`` bytes of an area, or why not."""
        if group == Group.MEMORY_BIT:
            return self._read_bit(offset)
        area = self.areas.get(group)
        if area is None:
            return ErrorCode.INVALID_GROUP
        if offset + length > len(area):
            return ErrorCode.INVALID_OFFSET
        return bytes(area[offset : offset + length])

    def write(self, group: int, offset: int, value: bytes) -> ErrorCode:
        """Store bytes in an area."""
        if group == Group.MEMORY_BIT:
            return self._write_bit(offset, value)
        area = self.areas.get(group)
        if area is None:
            return ErrorCode.INVALID_GROUP
        if offset + len(value) > len(area):
            return ErrorCode.INVALID_OFFSET
        area[offset : offset + len(value)] = value
        return ErrorCode.NONE

    def touched(self, group: int, offset: int, length: int) -> list[Place]:
        """Return the symbols that share bytes with a part of an area."""
        if group != Group.DATA or not self._starts:
            return []
        first = max(bisect_right(self._starts, offset) - 1, 0)
        found = []
        for place in self._order[first:]:
            if place.offset >= offset + length:
                break
            if place.offset + place.size > offset and place.name.casefold() in self._symbols:
                found.append(place)
        return found

    def raw(self, place: Place) -> bytes:
        """Return the bytes of a place."""
        return bytes(self.areas[place.group][place.offset : place.offset + place.size])

    def value(self, name: str) -> Any:
        """Return the value of a symbol. Raises KeyError."""
        place = self.find(name)
        if place is None:
            raise KeyError(name)
        return place.codec.decode(self.raw(place))

    def set(self, name: str, value: Any) -> Place:
        """Give a symbol a value. Raises KeyError, EncodeError."""
        place = self.find(name)
        if place is None:
            raise KeyError(name)
        self.write(place.group, place.offset, place.codec.encode(value))
        return place

    def _read_bit(self, offset: int) -> bytes | ErrorCode:
        area = self.areas[Group.MEMORY_BYTE]
        if offset >= 8 * len(area):
            return ErrorCode.INVALID_OFFSET
        return bytes((area[offset >> 3] >> (offset & 7) & 1,))

    def _write_bit(self, offset: int, value: bytes) -> ErrorCode:
        area = self.areas[Group.MEMORY_BYTE]
        if offset >= 8 * len(area):
            return ErrorCode.INVALID_OFFSET
        mask = 1 << (offset & 7)
        area[offset >> 3] = area[offset >> 3] & ~mask | (mask if any(value) else 0)
        return ErrorCode.NONE
