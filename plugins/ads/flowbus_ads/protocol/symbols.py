"""Symbol entries: the answer of 0xF009, and the table of 0xF00B with its sizes (0xF00C, 0xF00F).

An entry: length, index group, index offset, size, data type (4 bytes each), flags, count of
dimensions, lengths of name, type and comment (2 bytes each), then the three texts, each closed by a
zero byte, the bounds of an array, and what the flags announce: a guid, attributes. Source:
AdsSymbolEntry in AdsDef.h of Beckhoff/ADS; what is behind the texts as the open client ads-client
(npm) reads it. What is behind that is skipped by the entry's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag
from struct import Struct
from typing import Final

import msgspec

from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.typeentries import Bound, encode_attributes, parse_attributes

_ENTRY: Final = Struct("<5I5H")
_BOUND: Final = Struct("<iI")
_GUID: Final = 16
_INFO: Final = Struct("<II")
_INFO2: Final = Struct("<6I")


class SymbolFlag(IntFlag):
    """Flags of a symbol entry (ADSSYMBOLFLAG_...)."""

    PERSISTENT = 0x1
    BIT = 0x2
    REFERENCE = 0x4
    GUID = 0x8
    READ_ONLY = 0x20
    METHOD_DEREF = 0x80
    ATTRIBUTES = 0x1000
    STATIC = 0x2000


class SymbolEntry(msgspec.Struct, frozen=True, gc=False):
    """What a target says about one symbol; ``size`` in bytes, ``bounds`` of an array's dimensions."""

    name: str
    type_name: str
    group: int
    offset: int
    size: int
    type_id: int
    flags: int = 0
    comment: str = ""
    bounds: tuple[Bound, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


class UploadInfo(msgspec.Struct, frozen=True, gc=False):
    """Counts and sizes (bytes) of the symbol and data type tables."""

    symbols: int
    symbol_bytes: int
    datatypes: int = 0
    datatype_bytes: int = 0


def encode_entry(entry: SymbolEntry) -> bytes:
    """Return the bytes of a symbol entry."""
    texts = [
        text.encode("cp1252", "replace") for text in (entry.name, entry.type_name, entry.comment)
    ]
    parts = [text + b"\0" for text in texts]
    parts += [_BOUND.pack(*bound) for bound in entry.bounds]
    flags = entry.flags & ~SymbolFlag.GUID
    if entry.attributes:
        flags |= SymbolFlag.ATTRIBUTES
        parts.append(encode_attributes(entry.attributes))
    tail = b"".join(parts)
    head = _ENTRY.pack(
        _ENTRY.size + len(tail), entry.group, entry.offset, entry.size, entry.type_id,
        flags, len(entry.bounds), *map(len, texts),
    )  # fmt: skip
    return head + tail


def parse_entry(data: bytes, position: int = 0) -> tuple[SymbolEntry, int]:
    """Return the entry at ``position`` and the position behind it."""
    if len(data) - position < _ENTRY.size:
        raise ProtocolError(
            f"a symbol entry has {len(data) - position} bytes, {_ENTRY.size} are needed"
        )
    fields = _ENTRY.unpack_from(data, position)
    length, group, offset, size, type_id, flags, dimensions, *lengths = fields
    start, end = position + _ENTRY.size, position + length
    needed = _ENTRY.size + sum(lengths) + 3 + dimensions * _BOUND.size
    if length < needed or len(data) < end:
        raise ProtocolError(f"a symbol entry of length {length} does not hold its texts {lengths}")
    texts: list[str] = []
    for text_length in lengths:
        texts.append(data[start : start + text_length].decode("cp1252", "replace"))
        start += text_length + 1
    name, type_name, comment = texts
    bounds = []
    for _ in range(dimensions):
        bounds.append(Bound(*_BOUND.unpack_from(data, start)))
        start += _BOUND.size
    attributes: tuple[tuple[str, str], ...] = ()
    if flags & SymbolFlag.ATTRIBUTES:
        start += _GUID if flags & SymbolFlag.GUID else 0
        attributes = parse_attributes(data, start, end)
    entry = SymbolEntry(
        name, type_name, group, offset, size, type_id, flags, comment, tuple(bounds), attributes
    )
    return entry, end


def parse_table(data: bytes, count: int) -> Iterator[SymbolEntry]:
    """Yield the ``count`` entries of a symbol upload."""
    position = 0
    for _ in range(count):
        entry, position = parse_entry(data, position)
        yield entry


def encode_upload_info(info: UploadInfo, *, extended: bool) -> bytes:
    """Return the answer of 0xF00C, or of 0xF00F when ``extended``."""
    if not extended:
        return _INFO.pack(info.symbols, info.symbol_bytes)
    return _INFO2.pack(info.symbols, info.symbol_bytes, info.datatypes, info.datatype_bytes, 0, 0)


def parse_upload_info(data: bytes) -> UploadInfo:
    """Read the answer of 0xF00C or 0xF00F."""
    if len(data) >= _INFO2.size:
        return UploadInfo(*_INFO2.unpack_from(data)[:4])
    if len(data) < _INFO.size:
        raise ProtocolError(f"an upload info has {len(data)} bytes, at least 8 are needed")
    return UploadInfo(*_INFO.unpack_from(data))
