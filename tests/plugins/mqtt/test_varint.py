from __future__ import annotations

import pytest
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.varint import MAX, decode_varint, encode_varint
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, MAX), st.binary(max_size=3), st.binary(max_size=3))
def test_what_is_encoded_is_decoded(value: int, before: bytes, behind: bytes) -> None:
    data = before + encode_varint(value) + behind
    assert decode_varint(data, len(before), len(data)) == (value, len(data) - len(behind))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (MAX, "ffffff7f")],
)
def test_the_borders_of_the_specification(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded


@pytest.mark.parametrize("value", [-1, MAX + 1])
def test_what_does_not_fit_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_varint(value)


@given(st.integers(128, MAX))
def test_every_strict_prefix_is_refused(value: int) -> None:
    encoded = encode_varint(value)
    for length in range(len(encoded)):
        with pytest.raises(ProtocolError, match="cut off"):
            decode_varint(encoded, 0, length)


def test_five_bytes_are_too_many() -> None:
    with pytest.raises(ProtocolError, match="longer than 4 bytes"):
        decode_varint(b"\xff\xff\xff\xff\x01", 0, 5)
