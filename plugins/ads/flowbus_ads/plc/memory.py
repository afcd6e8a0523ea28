"""The memory of a simulated PLC: areas of bytes, and symbols that name parts of them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from flowbus_ads.plc.typedefs import Program
from flowbus_ads.protocol.codecs import BoolCodec, Codec, StringCodec
from flowbus_ads.protocol.constants import ErrorCode, Group
from flowbus_ads.protocol.structures import StructCodec
from flowbus_ads.protocol.symbols import (
    SymbolEntry,
    SymbolFlag,
    UploadInfo,
    encode_entry,
    encode_upload_info,
)
from flowbus_ads.protocol.typeentries import TypeFlag, encode_type
from flowbus_ads.protocol.types import parse_array

_ALIGN: Final = 8
_MAX_PATHS: Final = 100_000
_DATA_BITS: Final = Group.DATA << 16
"""An area of our own: single bits of the data area, where the BITs of structures lie."""
_BITS: Final[dict[int, int]] = {
    Group.MEMORY_BIT: Group.MEMORY_BYTE, _DATA_BITS: Group.DATA,
}  # fmt: skip
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ELEMENT = re.compile(r"(.+)\[\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]")


class Place(msgspec.Struct, frozen=True, gc=False):
    """A value in memory under the name a client used: a symbol, an element, a member."""

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

    def __init__(self, program: Program | None = None) -> None:
        self.program = program or Program({})
        self.areas: dict[int, bytearray] = {
            Group.MEMORY_BYTE: bytearray(1 << 16),
            Group.INPUT_BYTE: bytearray(1 << 12),
            Group.OUTPUT_BYTE: bytearray(1 << 12),
            Group.DATA: bytearray(),
        }
        self._symbols: dict[str, Place] = {}
        self._parts: dict[str, Place] = {}
        self._comments: dict[str, str] = {}
        self._attributes: dict[str, tuple[tuple[str, str], ...]] = {}
        self._starts: list[int] = []
        self._order: list[Place] = []

    def __iter__(self) -> Iterator[Place]:
        return iter(self._symbols.values())

    def __len__(self) -> int:
        return len(self._symbols)

    def add(
        self, name: str, type_name: str, value: Any = None, comment: str = "",
        attributes: Mapping[str, str] = NOTHING,
    ) -> Place:  # fmt: skip
        """Declare a symbol. Raises ValueError for a name that is taken, a type or a value that is bad."""
        if name.casefold() in self._symbols:
            raise ValueError(f"symbol {name!r} is declared twice")
        codec = self.program.codec(type_name)
        data = self.areas[Group.DATA]
        place = Place(name, type_name.strip(), Group.DATA, len(data), codec)
        parts = [] if value is None else self._encoded(place, value)
        data += bytes(-(-codec.size // _ALIGN) * _ALIGN)
        self._store(parts)
        self._symbols[name.casefold()] = place
        self._comments[name] = comment
        self._attributes[name] = tuple(attributes.items())
        self._starts.append(place.offset)
        self._order.append(place)
        return place

    def remove(self, name: str) -> None:
        """Take a symbol away, as a download of another program does. Raises KeyError."""
        del self._symbols[name.casefold()]
        self._parts.clear()

    def find(self, name: str) -> Place | None:
        """Return the place of a symbol, an element or a member, such as ``MAIN.aAxis[3].rSpeed``."""
        key = name.casefold()
        place = self._symbols.get(key) or self._parts.get(key)
        if place is None:
            place = self._part(name)
            if place is not None and len(self._parts) < _MAX_PATHS:
                self._parts[key] = place
        return place

    def _part(self, name: str) -> Place | None:
        match = _ELEMENT.fullmatch(name)
        if match is not None:
            array = self.find(match[1])
            indexes = [int(part) for part in match[2].split(",")]
            return None if array is None else self._element(array, indexes)
        owner_name, dot, member = name.rpartition(".")
        owner = self.find(owner_name) if dot else None
        return None if owner is None else self._member(owner, member)

    def _element(self, array: Place, indexes: list[int]) -> Place | None:
        entry = self.program.table.get(array.type_name)
        while entry is not None and not entry.bounds:
            entry = self.program.table.get(entry.type_name)
        if entry is None or len(indexes) != len(entry.bounds):
            return None
        flat = 0
        for index, (first, count) in zip(indexes, entry.bounds, strict=True):
            if not first <= index < first + count:
                return None
            flat = flat * count + index - first
        element = parse_array(entry.name)
        type_name = element.element if element is not None else entry.type_name
        codec = self.program.codec(type_name)
        name = f"{array.name}[{','.join(map(str, indexes))}]"
        return Place(name, type_name, array.group, array.offset + flat * codec.size, codec)

    def _member(self, owner: Place, name: str) -> Place | None:
        entry = self.program.table.structure(owner.type_name)
        if entry is None or not isinstance(owner.codec, StructCodec):
            return None
        for item in entry.members:
            if item.name.casefold() == name.casefold():
                path = f"{owner.name}.{item.name}"
                if item.flags & TypeFlag.BITS:
                    at = 8 * owner.offset + item.offset
                    return Place(path, item.type_name, _DATA_BITS, at, BoolCodec())
                codec = owner.codec.members[item.name].codec
                return Place(path, item.type_name, owner.group, owner.offset + item.offset, codec)
        return None

    def entry(self, place: Place) -> SymbolEntry:
        """Return what the PLC says about a place."""
        kind = self.program.need(place.type_name)
        return SymbolEntry(
            place.name, kind.name, place.group, place.offset, place.size, kind.type_id,
            SymbolFlag.BIT if place.group == _DATA_BITS else 0, self._comments.get(place.name, ""),
            kind.bounds, self._attributes.get(place.name, ()),
        )  # fmt: skip

    def upload(self) -> bytes:
        """Return the symbol table."""
        return b"".join([encode_entry(self.entry(place)) for place in self])

    def upload_types(self) -> bytes:
        """Return the table of data types."""
        return b"".join([encode_type(entry) for entry in self.program.table])

    def upload_info(self, *, extended: bool) -> bytes:
        """Return the sizes of the symbol table, ``extended`` by those of the data types."""
        info = UploadInfo(
            len(self), len(self.upload()), len(self.program.table), len(self.upload_types())
        )
        return encode_upload_info(info, extended=extended)

    def read(self, group: int, offset: int, length: int) -> bytes | ErrorCode:
        """Return ``length`` bytes of an area, or why not."""
        if group in _BITS:
            return self._read_bit(self.areas[_BITS[group]], offset)
        area = self.areas.get(group)
        if area is None:
            return ErrorCode.INVALID_GROUP
        if offset + length > len(area):
            return ErrorCode.INVALID_OFFSET
        return bytes(area[offset : offset + length])

    def write(self, group: int, offset: int, value: bytes) -> ErrorCode:
        """Store bytes in an area."""
        if group in _BITS:
            return self._write_bit(self.areas[_BITS[group]], offset, value)
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
        data = self.read(place.group, place.offset, place.size)
        assert isinstance(data, bytes), "a place lies inside its area"
        return data

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
        self._store(self._encoded(place, value))
        return place

    def _encoded(self, place: Place, value: Any) -> list[tuple[Place, bytes]]:
        """Return what to store where; an object need not have every member. Raises EncodeError."""
        codec = place.codec
        if not isinstance(codec, StructCodec):
            return [(place, codec.encode(value))]
        parts: list[tuple[Place, bytes]] = []
        for name, given in codec.named(value).items():
            member = self._member(place, name)
            if member is not None:
                parts += self._encoded(member, given)
        return parts

    def _store(self, parts: Iterable[tuple[Place, bytes]]) -> None:
        for place, data in parts:
            self.write(place.group, place.offset, data)

    def _read_bit(self, area: bytearray, offset: int) -> bytes | ErrorCode:
        if offset >= 8 * len(area):
            return ErrorCode.INVALID_OFFSET
        return bytes((area[offset >> 3] >> (offset & 7) & 1,))

    def _write_bit(self, area: bytearray, offset: int, value: bytes) -> ErrorCode:
        if offset >= 8 * len(area):
            return ErrorCode.INVALID_OFFSET
        mask = 1 << (offset & 7)
        area[offset >> 3] = area[offset >> 3] & ~mask | (mask if any(value) else 0)
        return ErrorCode.NONE
