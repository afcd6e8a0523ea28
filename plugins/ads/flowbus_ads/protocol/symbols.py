"""Symbol entries: the answer of 0xF009, and the table of 0xF00B with its sizes (0xF00C, 0xF00F).

An entry: length, index group, index offset, size, data type, flags (4 bytes each), lengths of name,
type and comment (2 bytes each), then the three texts, each closed by a zero byte; newer targets add
more behind. Source: AdsSymbolEntry in AdsDef.h of Beckhoff/ADS.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

import msgspec

from flowbus_ads.protocol.errors import ProtocolError

_ENTRY: Final = Struct("<6I3H")
_INFO: Final = Struct("<II")
_INFO2: Final = Struct("<6I")


class SymbolEntry(msgspec.Struct, frozen=True, gc=False):
    """What a target says about one symbol; ``size`` in bytes."""

    name: str
    type_name: str
    group: int
    offset: int
    size: int
    type_id: int
    flags: int = 0
    comment: str = ""


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
    tail = b"".join([text + b"\0" for text in texts])
    return (
        _ENTRY.pack(
            _ENTRY.size + len(tail), entry.group, entry.offset, entry.size, entry.type_id,
            entry.flags, *map(len, texts),
        )
        + tail
    )  # fmt: skip


def parse_entry(data: bytes, position: int = 0) -> tuple[SymbolEntry, int]:
    """Return the entry at ``position`` and the position behind it."""
    if len(data) - position < _ENTRY.size:
        raise ProtocolError(
            f"a symbol entry has {len(data) - position} bytes, {_ENTRY.size} are needed"
        )
    fields = _ENTRY.unpack_from(data, position)
    length, group, offset, size, type_id, flags, *lengths = fields
    start = position + _ENTRY.size
    if length < _ENTRY.size + sum(lengths) + 3 or len(data) - position < length:
        raise ProtocolError(f"a symbol entry of length {length} does not hold its texts {lengths}")
    texts: list[str] = []
    for text_length in lengths:
        texts.append(data[start : start + text_length].decode("cp1252", "replace"))
        start += text_length + 1
    name, type_name, comment = texts
    entry = SymbolEntry(name, type_name, group, offset, size, type_id, flags, comment)
    return entry, position + length


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
