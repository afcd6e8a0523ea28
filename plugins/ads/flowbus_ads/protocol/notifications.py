"""The notification stream (command 0x08) and its FILETIME stamps.

Data: length, number of stamps; per stamp a FILETIME and a number of samples; per sample handle,
size and the value. Source: ADS Specification, "ADS Device Notification".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from flowbus_ads.protocol.errors import ProtocolError

_HEAD: Final = Struct("<II")
_STAMP: Final = Struct("<QI")
_SAMPLE: Final = Struct("<II")
_EPOCH: Final = 116_444_736_000_000_000
"""1970-01-01 as FILETIME: units of 100 ns since 1601-01-01 UTC."""

Sample = tuple[int, int, bytes]
"""FILETIME, notification handle, value; the value is empty when the symbol is gone."""


def filetime_to_ns(filetime: int) -> int:
    """Return ns since the Unix epoch."""
    return (filetime - _EPOCH) * 100


def ns_to_filetime(ns: int) -> int:
    """Return the FILETIME of ``ns`` since the Unix epoch, cut to 100 ns."""
    return ns // 100 + _EPOCH


def parse_stream(data: bytes) -> list[Sample]:
    """Return all samples of a notification's data. Raises ProtocolError where it is cut short."""
    samples: list[Sample] = []
    append, sample = samples.append, _SAMPLE.unpack_from
    try:
        _, stamps = _HEAD.unpack_from(data)
        position = 8
        for _ in range(stamps):
            filetime, count = _STAMP.unpack_from(data, position)
            position += 12
            for _ in range(count):
                handle, size = sample(data, position)
                position += 8
                append((filetime, handle, data[position : position + size]))
                position += size
    except struct.error:
        raise ProtocolError(f"a notification of {len(data)} bytes is cut short") from None
    if position > len(data):
        raise ProtocolError(f"a notification of {len(data)} bytes is cut short")
    return samples


def build_stream(stamps: Sequence[tuple[int, Iterable[tuple[int, bytes]]]]) -> bytes:
    """Return a notification's data from (FILETIME, [(handle, value), ...]) stamps."""
    parts: list[bytes] = []
    for filetime, samples in stamps:
        listed = list(samples)
        parts.append(_STAMP.pack(filetime, len(listed)))
        for handle, value in listed:
            parts.append(_SAMPLE.pack(handle, len(value)))
            parts.append(value)
    body = b"".join(parts)
    return _HEAD.pack(len(body) + 4, len(stamps)) + body
