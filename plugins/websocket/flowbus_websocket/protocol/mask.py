"""Masking: the XOR of a payload with a four-byte key (RFC 6455, section 5.3).

Python has no XOR of bytes. Where the websockets library is installed its function in C does it. Without
it, it goes through what runs in C. Measured: up to some kilobytes one long integer is fastest, whose
repeated key is a product with a constant; for a long piece the constants would take more memory than
they are worth, and four translation tables, one for each byte of the key, are as fast. C takes 0.3 µs for
4 KB, that takes 10.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

SHORT: Final = 1024  # bytes up to which the constants are made once for all
LONG: Final = 16384  # bytes from which the tables are used

_TABLES: Final = tuple(bytes(value ^ key for value in range(256)) for key in range(256))


def _ones(words: int) -> int:
    """Return the number that repeats a key of 32 bits when multiplied by it."""
    return int.from_bytes(b"\1\0\0\0" * words, "little")


_SHORT_ONES: Final = tuple(_ones(words) for words in range(SHORT // 4 + 1))
_long_ones: Final = functools.lru_cache(maxsize=64)(_ones)


def mask_in_python(data: bytes, key: bytes) -> bytes:
    """Do what :data:`mask` does, without anything installed."""
    size = len(data)
    if size > LONG:
        return _by_tables(data, key)
    words = (size + 3) >> 2
    ones = _SHORT_ONES[words] if size <= SHORT else _long_ones(words)
    number = int.from_bytes(data, "little") ^ (int.from_bytes(key, "little") * ones)
    return number.to_bytes(words << 2, "little")[:size]


def rotated(key: bytes, by: int) -> bytes:
    """Return the key for what follows ``by`` bytes into a payload."""
    by &= 3
    return key[by:] + key[:by]


def _by_tables(data: bytes, key: bytes) -> bytes:
    masked = bytearray(data)
    for lane in range(4):
        masked[lane::4] = data[lane::4].translate(_TABLES[key[lane]])
    return bytes(masked)


#: Return ``data`` masked, or unmasked, with the four bytes of ``key``.
mask: Callable[[bytes, bytes], bytes]
try:
    from websockets.speedups import apply_mask
except ImportError:
    mask = mask_in_python
else:
    mask = apply_mask
