"""Sum commands: many requests in the data of one ReadWrite request.

The index group says which (0xF080..0xF086), the index offset how many. Source: AdsDef.h in
Beckhoff/ADS, comments at ADSIGRP_SUMUP_*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from struct import Struct
from typing import Final, TypeVar

from flowbus_ads.protocol.commands import NOTE_REQUEST, NoteSpec, parse_add_note_request
from flowbus_ads.protocol.errors import ProtocolError

T = TypeVar("T")

_ADDRESS: Final = Struct("<III")
_READ_WRITE: Final = Struct("<IIII")
_PAIR: Final = Struct("<II")

MAX_ITEMS: Final = 500
"""Beckhoff's recommended number of requests in a sum command."""
MAX_BYTES: Final = 128 * 1024
"""Most bytes of values that one of our sum commands carries."""

ReadItem = tuple[int, int, int]
"""Index group, index offset, length."""
WriteItem = tuple[int, int, bytes]
"""Index group, index offset, value."""
ReadWriteItem = tuple[int, int, int, bytes]
"""Index group, index offset, length to read, value to write."""
Result = tuple[int, bytes]
"""ADS return code and the bytes read."""


def chunks(items: Sequence[T], size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield runs of ``items`` that fit one sum command; an item above the limit goes alone."""
    if len(items) <= MAX_ITEMS and sum(map(size, items)) <= MAX_BYTES:
        if items:
            yield items
        return
    first = total = 0
    for index, item in enumerate(items):
        length = size(item)
        if index > first and (index - first >= MAX_ITEMS or total + length > MAX_BYTES):
            yield items[first:index]
            first, total = index, 0
        total += length
    if first < len(items):
        yield items[first:]


def sum_read_request(items: Sequence[ReadItem]) -> bytes:
    """Return the data to write for 0xF080, 0xF083 and 0xF084."""
    return Struct(f"<{3 * len(items)}I").pack(*chain.from_iterable(items))


def sum_read_length(items: Sequence[ReadItem]) -> int:
    """Return the length to read for 0xF080."""
    return sum(item[2] for item in items) + 4 * len(items)


def parse_sum_read_request(count: int, data: bytes) -> list[ReadItem]:
    """Return the items of a sum read request."""
    _check("a sum read request", data, 12 * count)
    return list(_ADDRESS.iter_unpack(data[: 12 * count]))


def sum_read_response(results: Sequence[Result], items: Sequence[ReadItem]) -> bytes:
    """Return the data read by 0xF080: all results, then all values, each padded to the length asked for."""
    codes = Struct(f"<{len(results)}I").pack(*[code for code, _ in results])
    return codes + b"".join(
        [
            value.ljust(item[2], b"\0")[: item[2]]
            for (_, value), item in zip(results, items, strict=True)
        ]
    )


def parse_sum_read_response(data: bytes, items: Sequence[ReadItem]) -> list[Result]:
    """Return result and value per item of 0xF080."""
    count = len(items)
    _check("a sum read response", data, 4 * count)
    codes = Struct(f"<{count}I").unpack_from(data)
    edges = list(accumulate([item[2] for item in items], initial=4 * count))
    if edges[-1] > len(data) and not any(codes):
        raise ProtocolError(f"a sum read response has {len(data)} bytes, {edges[-1]} were asked for")
    return list(zip(codes, [data[start:end] for start, end in pairwise(edges)], strict=True))


def sum_write_request(items: Sequence[WriteItem]) -> bytes:
    """Return the data to write for 0xF081."""
    heads = [_ADDRESS.pack(group, offset, len(value)) for group, offset, value in items]
    return b"".join(heads) + b"".join([value for _, _, value in items])


def parse_sum_write_request(count: int, data: bytes) -> list[WriteItem]:
    """Return the items of 0xF081."""
    _check("a sum write request", data, 12 * count)
    items: list[WriteItem] = []
    position = 12 * count
    for group, offset, length in _ADDRESS.iter_unpack(data[:position]):
        items.append((group, offset, data[position : position + length]))
        position += length
    _check("a sum write request", data, position)
    return items


def codes_response(codes: Sequence[int]) -> bytes:
    """Return the data read by 0xF081 and 0xF086: the results."""
    return Struct(f"<{len(codes)}I").pack(*codes)


def parse_codes_response(data: bytes, count: int) -> tuple[int, ...]:
    """Return the results of 0xF081 and 0xF086."""
    _check("a sum response", data, 4 * count)
    return Struct(f"<{count}I").unpack_from(data)


def sum_read_write_request(items: Sequence[ReadWriteItem]) -> bytes:
    """Return the data to write for 0xF082."""
    heads = [_READ_WRITE.pack(g, o, length, len(value)) for g, o, length, value in items]
    return b"".join(heads) + b"".join([item[3] for item in items])


def sum_read_write_length(items: Sequence[ReadWriteItem]) -> int:
    """Return the length to read for 0xF082."""
    return sum(item[2] for item in items) + 8 * len(items)


def parse_sum_read_write_request(count: int, data: bytes) -> list[ReadWriteItem]:
    """Return the items of 0xF082."""
    _check("a sum read-write request", data, 16 * count)
    items: list[ReadWriteItem] = []
    position = 16 * count
    for group, offset, read_length, length in _READ_WRITE.iter_unpack(data[:position]):
        items.append((group, offset, read_length, data[position : position + length]))
        position += length
    _check("a sum read-write request", data, position)
    return items


def sized_response(results: Sequence[Result]) -> bytes:
    """Return the data read by 0xF082 and 0xF084: (result, length) per item, then the values unpadded."""
    heads = [_PAIR.pack(code, len(value)) for code, value in results]
    return b"".join(heads) + b"".join([value for _, value in results])


def parse_sized_response(data: bytes, count: int) -> list[Result]:
    """Return result and value per item of 0xF082 and 0xF084."""
    position = 8 * count
    _check("a sum response", data, position)
    results: list[Result] = []
    for code, length in _PAIR.iter_unpack(data[:position]):
        results.append((code, data[position : position + length]))
        position += length
    _check("a sum response", data, position)
    return results


def sum_add_note_request(specs: Sequence[NoteSpec]) -> bytes:
    """Return the data to write for 0xF085: 40 bytes an item."""
    return b"".join([NOTE_REQUEST.pack(*spec) for spec in specs])


def parse_sum_add_note_request(count: int, data: bytes) -> list[NoteSpec]:
    """Return the items of 0xF085; clients that leave out the 16 reserved bytes are understood."""
    size = 40 if len(data) >= 40 * count else 24
    _check("a sum add-notification request", data, size * count)
    return [parse_add_note_request(data[i * size : (i + 1) * size]) for i in range(count)]


def pairs_response(pairs: Sequence[tuple[int, int]]) -> bytes:
    """Return the data read by 0xF085: (result, handle) per item."""
    return b"".join([_PAIR.pack(*pair) for pair in pairs])


def parse_pairs_response(data: bytes, count: int) -> list[tuple[int, int]]:
    """Return (result, handle) per item of 0xF085."""
    _check("a sum add-notification response", data, 8 * count)
    return list(_PAIR.iter_unpack(data[: 8 * count]))


def sum_delete_note_request(handles: Sequence[int]) -> bytes:
    """Return the data to write for 0xF086."""
    return Struct(f"<{len(handles)}I").pack(*handles)


def parse_sum_delete_note_request(count: int, data: bytes) -> tuple[int, ...]:
    """Return the handles of 0xF086."""
    _check("a sum delete-notification request", data, 4 * count)
    return Struct(f"<{count}I").unpack_from(data)


def _check(what: str, data: bytes, size: int) -> None:
    if len(data) < size:
        raise ProtocolError(f"{what} has {len(data)} bytes, at least {size} are needed")
