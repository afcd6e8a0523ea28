"""The types that a PLC program declares, and the codec of each, compiled when it is first wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flowbus_ads.protocol.codecs import Codec, IntegerCodec
from flowbus_ads.protocol.errors import UnsupportedTypeError
from flowbus_ads.protocol.structures import BitCodec, EnumCodec, Member, StructCodec
from flowbus_ads.protocol.typeentries import TypeEntry, TypeFlag
from flowbus_ads.protocol.types import array_codec, codec_of_entry, parse_array

_DEEPEST: Final = 64
"""Types inside types; a table that goes deeper goes in circles."""
_LARGEST: Final = 16 << 20
"""Bytes of one value."""


class TypeTable:
    """Types by name, without regard to case. ``by_name`` makes enumerations texts."""

    def __init__(
        self, entries: Iterable[TypeEntry] = (), encoding: str = "cp1252", *, by_name: bool = False
    ) -> None:
        self._entries: dict[str, TypeEntry] = {}
        self._encoding, self._by_name = encoding, by_name
        self._codecs: dict[tuple[str, int, int], Codec] = {}
        for entry in entries:
            self.add(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[TypeEntry]:
        return iter(self._entries.values())

    def add(self, entry: TypeEntry) -> None:
        """Take in a type."""
        self._entries[entry.name.strip().casefold()] = entry

    def get(self, type_name: str) -> TypeEntry | None:
        """Return the entry of a type."""
        return self._entries.get(type_name.strip().casefold())

    def structure(self, type_name: str) -> TypeEntry | None:
        """Return the entry that has the members of a type, which may be another name of it."""
        for _ in range(_DEEPEST):
            entry = self.get(type_name)
            if entry is None or entry.members:
                return entry
            type_name = entry.type_name
        return None

    def codec(self, type_name: str, size: int, type_id: int) -> Codec:
        """Return the codec of a value of ``size`` bytes. Raises UnsupportedTypeError."""
        return self._codec(type_name, size, type_id, 0)

    def _codec(self, type_name: str, size: int, type_id: int, depth: int) -> Codec:
        key = (type_name, size, type_id)
        found = self._codecs.get(key)
        if found is None:
            if depth > _DEEPEST or size > _LARGEST:
                text = f"{type_name!r} of {size} bytes is nested too deeply or too large"
                raise UnsupportedTypeError(text)
            found = self._codecs[key] = self._made(type_name, size, type_id, depth + 1)
        return found

    def _made(self, type_name: str, size: int, type_id: int, depth: int) -> Codec:
        entry = self.get(type_name)
        if entry is not None:
            codec = self._of_entry(entry, depth)
            if codec is not None:
                if codec.size != size:
                    text = f"type {type_name!r} has {codec.size} bytes, the PLC says {size}"
                    raise UnsupportedTypeError(text)
                return codec
        array = parse_array(type_name)
        if array is not None and 0 not in array.dims:
            return self._array(type_name, array.element, array.dims, size, type_id, depth)
        return codec_of_entry(type_name, size, type_id, self._encoding)

    def _of_entry(self, entry: TypeEntry, depth: int) -> Codec | None:
        """Return the codec of a type that the table describes; None for an elementary one."""
        if entry.bounds:
            dims = tuple(bound.elements for bound in entry.bounds)
            return self._array(
                entry.name, entry.type_name, dims, entry.size, entry.type_id, depth
            )
        if entry.enum:
            base = codec_of_entry(entry.type_name, entry.size, entry.type_id)
            if isinstance(base, IntegerCodec):
                return EnumCodec(entry.name, base, entry.enum, by_name=self._by_name)
        if entry.members:
            return self._struct(entry, depth)
        if entry.type_name and entry.type_name.casefold() != entry.name.casefold():
            return self._codec(entry.type_name, entry.size, entry.type_id, depth)
        return None

    def _array(
        self, name: str, element: str, dims: tuple[int, ...], size: int, type_id: int, depth: int
    ) -> Codec:
        count = 1
        for dim in dims:
            count *= dim
        if not count or size % count:
            raise UnsupportedTypeError(f"{name!r}: {size} bytes are not {count} elements")
        return array_codec(name, self._codec(element, size // count, type_id, depth), dims)

    def _struct(self, entry: TypeEntry, depth: int) -> Codec:
        members = []
        for item in entry.members:
            if item.flags & (TypeFlag.STATIC | TypeFlag.PROPERTY):
                continue  # it lies elsewhere
            member = self._member(item, depth)
            if member.offset + member.codec.size > entry.size or member.offset >= entry.size:
                text = f"{item.name} of {entry.name!r} lies outside of its {entry.size} bytes"
                raise UnsupportedTypeError(text)
            members.append(member)
        return StructCodec(entry.name, entry.size, members, has_methods=bool(entry.methods))

    def _member(self, item: TypeEntry, depth: int) -> Member:
        offset, size = item.offset, item.size
        if item.flags & TypeFlag.BITS:
            if size == 1:
                return Member(item.name, offset // 8, BitCodec(), offset % 8)
            offset, size = offset // 8, size // 8
        if item.bounds:
            dims = tuple(bound.elements for bound in item.bounds)
            element = parse_array(item.type_name)
            name = element.element if element is not None else item.type_name
            codec = self._array(item.type_name, name, dims, size, item.type_id, depth)
        else:
            codec = self._codec(item.type_name, size, item.type_id, depth)
        return Member(item.name, offset, codec)
