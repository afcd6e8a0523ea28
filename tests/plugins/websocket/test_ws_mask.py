"""Masking, at every size where the way of doing it changes."""

from __future__ import annotations

import pytest
from flowbus_websocket.protocol.mask import LONG, SHORT, mask, rotated
from hypothesis import given
from hypothesis import strategies as st


def _slowly(data: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_every_byte_is_xored_with_its_byte_of_the_key(data: bytes, key: bytes) -> None:
    assert mask(data, key) == _slowly(data, key)


@pytest.mark.parametrize(
    "size", [0, 1, 3, 4, 5, 125, SHORT, SHORT + 1, 5003, LONG - 1, LONG, LONG + 1, LONG + 2]
)
def test_both_ways_give_the_same(size: int) -> None:
    data = bytes(index * 7 & 0xFF for index in range(size))
    key = b"\x00\xff\x5a\x81"
    assert mask(data, key) == _slowly(data, key)
    assert mask(mask(data, key), key) == data


@given(st.binary(max_size=50), st.integers(0, 50))
def test_a_rotated_key_goes_on_in_the_middle(data: bytes, cut: int) -> None:
    key = b"\x01\x02\x03\x04"
    first, rest = data[:cut], data[cut:]
    assert mask(first, key) + mask(rest, rotated(key, len(first))) == mask(data, key)
