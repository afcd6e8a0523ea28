"""Data type entries: the table of 0xF00E, whose sizes 0xF00F gives.

An entry: length, version, two hashes, size, offset, data type number, flags (4 bytes each), lengths
of name, type and comment, count of dimensions and of members (2 bytes each), the three texts, each
closed by a zero byte, the bounds of an array (first index, elements), the members as entries of their
own, and then what the flags announce. Source: AdsDatatypeEntry in AdsDef.h of Beckhoff/ADS; what
follows the members (guid, copy mask, methods, attributes, enumeration) as the open clients ads-client
(npm) and TwinCAT.Ads read it. What is behind that is skipped by the entry's length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntFlag
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from flowbus_ads.protocol.constants import SIGNED
from flowbus_ads.protocol.errors import ProtocolError

_ENTRY: Final = Struct("<8I5H")
_BOUND: Final = Struct("<iI")
_METHOD: Final = Struct("<6I16s2I4H")
_PARAMETER: Final = Struct("<6I16s4H")
_U16: Final = Struct("<H")
_GUID: Final = 16
_VERSION: Final = 1
_DEEPEST: Final = 32
"""Entries inside entries; a table that goes deeper is not one."""


class TypeFlag(IntFlag):
    """Flags of a data type entry (ADSDATATYPEFLAG_...)."""

    DATATYPE = 0x1
    DATAITEM = 0x2
    REFERENCE = 0x4
    BITS = 0x20
    PROPERTY = 0x40
    GUID = 0x80
    COPY_MASK = 0x200
    METHODS = 0x800
    ATTRIBUTES = 0x1000
    ENUM = 0x2000
    STATIC = 0x20000


class Bound(NamedTuple):
    """One dimension of an array."""

    first: int
    elements: int


class ParameterFlag(IntFlag):
    """Flags of a method's parameter (ADSMETHODPARAFLAG_...)."""

    IN = 0x1
    OUT = 0x2


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """One parameter of a method; ``size`` in bytes."""

    name: str
    type_name: str
    size: int
    type_id: int
    flags: int


class Method(msgspec.Struct, frozen=True, gc=False):
    """A method of a function block that may be called; ``size`` is that of what it returns."""

    name: str
    type_name: str
    size: int
    type_id: int
    parameters: tuple[Parameter, ...] = ()
    comment: str = ""


class TypeEntry(msgspec.Struct, frozen=True, gc=False):
    """A data type, or a member of one. ``size`` and ``offset`` in bytes; with BITS set, in bits.

    ``type_name`` is what an alias or a member is of; ``members`` are in the order of the PLC.
    """

    name: str
    size: int
    type_name: str = ""
    offset: int = 0
    type_id: int = 0
    flags: int = int(TypeFlag.DATATYPE)
    comment: str = ""
    bounds: tuple[Bound, ...] = ()
    members: tuple[TypeEntry, ...] = ()
    methods: tuple[Method, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    enum: tuple[tuple[str, int], ...] = ()


# ---- writing


def encode_type(entry: TypeEntry) -> bytes:
    """Return the bytes of an entry; its flags say what it has whatever ``entry.flags`` says."""
    flags = entry.flags & ~(TypeFlag.GUID | TypeFlag.COPY_MASK)
    tail = b""
    if entry.methods:
        flags |= TypeFlag.METHODS
        tail += _counted([_method(method) for method in entry.methods])
    if entry.attributes:
        flags |= TypeFlag.ATTRIBUTES
        tail += encode_attributes(entry.attributes)
    if entry.enum:
        flags |= TypeFlag.ENUM
        tail += _counted([_enum_value(name, value, entry.size) for name, value in entry.enum])
    texts = _texts(entry.name, entry.type_name, entry.comment)
    body = b"".join(
        [_closed(texts), *(_BOUND.pack(*bound) for bound in entry.bounds),
         *(encode_type(member) for member in entry.members), tail]
    )  # fmt: skip
    head = _ENTRY.pack(
        _ENTRY.size + len(body), _VERSION, 0, 0, entry.size, entry.offset, entry.type_id, flags,
        *map(len, texts), len(entry.bounds), len(entry.members),
    )  # fmt: skip
    return head + body


def encode_attributes(attributes: Sequence[tuple[str, str]]) -> bytes:
    """Return a count and the attributes, as symbol entries have them too; texts are cut at 255 bytes."""
    return _counted([_attribute(*pair) for pair in attributes])


def _attribute(name: str, value: str) -> bytes:
    texts = [text[:255] for text in _texts(name, value)]
    return bytes(map(len, texts)) + _closed(texts)


def _enum_value(name: str, value: int, size: int) -> bytes:
    text = _texts(name)[0][:255]
    return bytes((len(text),)) + text + b"\0" + value.to_bytes(size, "little", signed=value < 0)


def _method(method: Method) -> bytes:
    texts = _texts(method.name, method.type_name, method.comment)
    body = _closed(texts) + b"".join(map(_parameter, method.parameters))
    head = _METHOD.pack(
        _METHOD.size + len(body), _VERSION, 0, method.size, method.size, 0, bytes(_GUID),
        method.type_id, 0, *map(len, texts), len(method.parameters),
    )  # fmt: skip
    return head + body


def _parameter(parameter: Parameter) -> bytes:
    texts = _texts(parameter.name, parameter.type_name, "")
    body = _closed(texts)
    head = _PARAMETER.pack(
        _PARAMETER.size + len(body), parameter.size, parameter.size, parameter.type_id,
        parameter.flags, 0, bytes(_GUID), 0, *map(len, texts),
    )  # fmt: skip
    return head + body


def _texts(*texts: str) -> list[bytes]:
    return [text.encode("cp1252", "replace") for text in texts]


def _closed(texts: Sequence[bytes]) -> bytes:
    return b"".join([text + b"\0" for text in texts])


def _counted(parts: Sequence[bytes]) -> bytes:
    return _U16.pack(len(parts)) + b"".join(parts)


# ---- reading


def parse_types(data: bytes, count: int) -> Iterator[TypeEntry]:
    """Yield the ``count`` entries of a data type upload. Raises ProtocolError."""
    position = 0
    for _ in range(count):
        entry, position = parse_type(data, position)
        yield entry


def parse_type(data: bytes, position: int = 0) -> tuple[TypeEntry, int]:
    """Return the entry at ``position`` and the position behind it. Raises ProtocolError."""
    return _Reader(data).entry(position, 0)


class _Reader:
    """Reads entries out of a table; every position is checked before what is there is believed."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def entry(self, start: int, depth: int) -> tuple[TypeEntry, int]:
        if depth > _DEEPEST:
            raise ProtocolError(f"data types are more than {_DEEPEST} deep")
        fields = self._unpack(_ENTRY, start)
        length, _, _, _, size, offset, type_id, flags, *rest = fields
        end = self._end(start, length, _ENTRY.size, "data type entry")
        *lengths, dimensions, count = rest
        texts, at = self.texts(start + _ENTRY.size, lengths, end)
        bounds = []
        for _ in range(dimensions):
            bounds.append(Bound(*self._unpack(_BOUND, at)))
            at += _BOUND.size
        members = []
        for _ in range(count):
            member, at = self.entry(at, depth + 1)
            members.append(member)
        if at > end:
            raise ProtocolError("a data type entry is longer inside than it says")
        name, type_name, comment = texts
        methods, attributes, enum = self._extras(at, end, flags, size, signed=type_id in SIGNED)
        entry = TypeEntry(
            name, size, type_name, offset, type_id, flags, comment, tuple(bounds), tuple(members),
            methods, attributes, enum,
        )  # fmt: skip
        return entry, end

    def _extras(
        self, at: int, end: int, flags: int, size: int, *, signed: bool
    ) -> tuple[tuple[Method, ...], tuple[tuple[str, str], ...], tuple[tuple[str, int], ...]]:
        methods: list[Method] = []
        attributes: list[tuple[str, str]] = []
        enum: list[tuple[str, int]] = []
        at += _GUID if flags & TypeFlag.GUID else 0
        at += size if flags & TypeFlag.COPY_MASK else 0
        if flags & TypeFlag.METHODS:
            count, at = self._count(at)
            for _ in range(count):
                method, at = self._method(at, end)
                methods.append(method)
        if flags & TypeFlag.ATTRIBUTES:
            attributes, at = self.attributes(at, end)
        if flags & TypeFlag.ENUM:
            count, at = self._count(at)
            for _ in range(count):
                (length,) = self._bytes(at, 1, end)
                (name,), at = self.texts(at + 1, [length], end)
                value = int.from_bytes(self._bytes(at, size, end), "little", signed=signed)
                enum.append((name, value))
                at += size
        return tuple(methods), tuple(attributes), tuple(enum)

    def attributes(self, at: int, end: int) -> tuple[list[tuple[str, str]], int]:
        count, at = self._count(at)
        found = []
        for _ in range(count):
            lengths = list(self._bytes(at, 2, end))
            (name, value), at = self.texts(at + 2, lengths, end)
            found.append((name, value))
        return found, at

    def _method(self, start: int, end: int) -> tuple[Method, int]:
        length, _, _, size, _, _, _, type_id, _, *rest = self._unpack(_METHOD, start)
        behind = min(self._end(start, length, _METHOD.size, "method"), end)
        *lengths, count = rest
        (name, type_name, comment), at = self.texts(start + _METHOD.size, lengths, behind)
        parameters = []
        for _ in range(count):
            parameter, at = self._parameter(at, behind)
            parameters.append(parameter)
        return Method(name, type_name, size, type_id, tuple(parameters), comment), behind

    def _parameter(self, start: int, end: int) -> tuple[Parameter, int]:
        length, size, _, type_id, flags, _, _, _, *lengths = self._unpack(_PARAMETER, start)
        behind = min(self._end(start, length, _PARAMETER.size, "parameter"), end)
        (name, type_name, _), _ = self.texts(start + _PARAMETER.size, lengths, behind)
        return Parameter(name, type_name, size, type_id, flags), behind

    def texts(self, at: int, lengths: Sequence[int], end: int) -> tuple[list[str], int]:
        texts = []
        for length in lengths:
            texts.append(self._bytes(at, length, end).decode("cp1252", "replace"))
            at += length + 1
        return texts, at

    def _count(self, at: int) -> tuple[int, int]:
        return self._unpack(_U16, at)[0], at + _U16.size

    def _bytes(self, at: int, length: int, end: int) -> bytes:
        if at + length > end:
            raise ProtocolError(f"a data type entry ends at {end}, within a field at {at}")
        return self._data[at : at + length]

    def _end(self, start: int, length: int, least: int, what: str) -> int:
        if length < least or start + length > len(self._data):
            raise ProtocolError(
                f"a {what} at {start} says that it has {length} bytes, of {len(self._data)}"
            )
        return start + length

    def _unpack(self, layout: Struct, at: int) -> tuple[int, ...]:
        try:
            return layout.unpack_from(self._data, at)
        except struct.error:
            raise ProtocolError(
                f"a data type table of {len(self._data)} bytes is cut off at {at}"
            ) from None


def parse_attributes(data: bytes, at: int, end: int) -> tuple[tuple[str, str], ...]:
    """Return the attributes at ``at``, of a symbol entry that ends at ``end``."""
    return tuple(_Reader(data).attributes(at, end)[0])
