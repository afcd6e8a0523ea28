"""Types and values: every value that fits survives, what does not fit is refused with a reason."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from flowbus_ads.protocol.constants import TypeId
from flowbus_ads.protocol.errors import DecodeError, EncodeError, UnsupportedTypeError
from flowbus_ads.protocol.types import codec_for, codec_of_entry, parse_array, type_id_of
from hypothesis import given
from hypothesis import strategies as st

RANGES = {
    "SINT": (-128, 127), "USINT": (0, 255), "BYTE": (0, 255),
    "INT": (-32768, 32767), "UINT": (0, 65535), "WORD": (0, 65535),
    "DINT": (-(2**31), 2**31 - 1), "UDINT": (0, 2**32 - 1), "DWORD": (0, 2**32 - 1),
    "LINT": (-(2**63), 2**63 - 1), "ULINT": (0, 2**64 - 1), "LWORD": (0, 2**64 - 1),
    "TIME": (0, 2**32 - 1), "DATE": (0, 2**32 - 1), "TOD": (0, 2**32 - 1), "DT": (0, 2**32 - 1),
    "LTIME": (0, 2**64 - 1),
}  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
@given(data=st.data())
def test_whole_numbers(name: str, data: st.DataObject) -> None:
    low, high = RANGES[name]
    codec = codec_for(name)
    value = data.draw(st.integers(low, high))
    assert codec.decode(codec.encode(value)) == value
    assert len(codec.encode(value)) == codec.size
    for outside in (low - 1, high + 1):
        with pytest.raises(EncodeError, match=f"does not fit {name}"):
            codec.encode(outside)


@pytest.mark.parametrize("value", [True, "1", None, 1.5, math.nan, [1], 1e300])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(EncodeError, match=r"INT|whole"):
        codec_for("INT").encode(value)


def test_a_float_that_is_whole_will_do() -> None:
    assert codec_for("INT").encode(5.0) == b"\5\0"


@given(st.floats())
def test_lreal_keeps_nan_and_infinity(value: float) -> None:
    codec = codec_for("LREAL")
    assert struct.pack("<d", codec.decode(codec.encode(value))) == struct.pack("<d", value)


@given(st.floats(width=32))
def test_real(value: float) -> None:
    codec = codec_for("REAL")
    back = codec.decode(codec.encode(value))
    assert back == value or (math.isnan(back) and math.isnan(value))


@pytest.mark.parametrize(("name", "value"), [("REAL", 1e39), ("REAL", 10**400), ("LREAL", 10**400)])
def test_too_large_for_a_float(name: str, value: float) -> None:
    with pytest.raises(EncodeError, match="too large"):
        codec_for(name).encode(value)


@pytest.mark.parametrize("value", [True, "1.5", None])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(EncodeError, match="not a number"):
        codec_for("REAL").encode(value)


def test_bool() -> None:
    codec = codec_for("BOOL")
    assert [codec.encode(value) for value in (True, False, 1, 0)] == [b"\1", b"\0", b"\1", b"\0"]
    assert [codec.decode(data) for data in (b"\0", b"\1", b"\xff")] == [False, True, True]
    with pytest.raises(EncodeError, match="true or false"):
        codec.encode(2)


LATIN = st.text(st.characters(codec="cp1252", exclude_characters="\0"), max_size=20)


@given(LATIN)
def test_string(text: str) -> None:
    codec = codec_for("STRING(20)")
    assert codec.size == 21
    assert codec.decode(codec.encode(text)) == text


@given(st.binary(max_size=20).filter(lambda data: 0 not in data))
def test_every_byte_of_a_string_survives(data: bytes) -> None:
    codec = codec_for("STRING(20)")
    assert codec.encode(codec.decode(data.ljust(21, b"\0"))) == data.ljust(21, b"\0")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5))
def test_utf8_and_wstring(text: str) -> None:
    utf8, wide = codec_for("STRING(20)", "utf-8"), codec_for("WSTRING(10)")
    assert utf8.decode(utf8.encode(text)) == text
    assert wide.size == 22
    assert wide.decode(wide.encode(text)) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("STRING(3)", "abcd", "has 4 characters in cp1252, .*holds 3"),
        ("STRING(3)", "Ω", "cannot be written as cp1252"),
        ("STRING(3)", "a\0b", "zero character"),
        ("STRING(3)", 7, "not a text"),
        ("WSTRING(2)", "abc", "holds 2"),
        ("WSTRING(2)", "\ud800", "cannot be written"),
    ],
)
def test_texts_that_do_not_fit(name: str, value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        codec_for(name).encode(value)


def test_a_text_without_its_zero_is_read_whole() -> None:
    assert codec_for("STRING(3)").decode(b"abcd") == "abcd"
    assert codec_for("STRING").size == 81


@given(st.lists(st.integers(-32768, 32767), min_size=4, max_size=4))
def test_array_with_a_negative_bound(values: list[int]) -> None:
    codec = codec_for("ARRAY [-1..2] OF INT")
    assert codec.size == 8
    assert codec.decode(codec.encode(values)) == values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARRAY [1..2] OF BOOL", [True, False]),
        ("ARRAY [1..2] OF STRING(3)", ["ab", ""]),
        ("ARRAY [0..1,0..2] OF REAL", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        ("ARRAY [0..1] OF ARRAY [0..1] OF DINT", [[1, 2], [3, 4]]),
        ("array[0..0] of lreal", [1.5]),
    ],
)
def test_arrays(name: str, value: Any) -> None:
    codec = codec_for(name)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1], "has 1 elements, .* needs 2"),
        (5, "not a list"),
        ([1, "x"], "element 1 of ARRAY"),
        ([1, 40000], "element 1 of ARRAY.*does not fit INT"),
    ],
)
def test_arrays_that_do_not_fit(value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        codec_for("ARRAY [0..1] OF INT").encode(value)


@pytest.mark.parametrize(
    "name", ["DINT", "BOOL", "LREAL", "STRING(5)", "WSTRING(5)", "ARRAY [0..1] OF INT"]
)
def test_bytes_of_a_wrong_size(name: str) -> None:
    with pytest.raises(DecodeError, match="the PLC sent 3"):
        codec_for(name).decode(b"abc")


def test_an_alias_or_enumeration_is_read_by_its_type_number() -> None:
    assert codec_of_entry("E_Mode", 2, TypeId.INT16).encode(3) == b"\3\0"
    assert codec_of_entry("T_Name", 11, TypeId.STRING).decode(b"abc".ljust(11, b"\0")) == "abc"
    assert codec_of_entry("POINTER TO LREAL", 8, TypeId.BIG).size == 8


@pytest.mark.parametrize(
    ("name", "size", "number"), [("ST_Data", 24, TypeId.BIG), ("DINT", 2, TypeId.INT32)]
)
def test_a_structure_is_refused_by_name(name: str, size: int, number: int) -> None:
    with pytest.raises(UnsupportedTypeError, match=name):
        codec_of_entry(name, size, number)


@pytest.mark.parametrize("name", ["ST_Data", "ARRAY [3..1] OF INT", "ARRAY [a..b] OF INT", ""])
def test_unknown_types(name: str) -> None:
    with pytest.raises(UnsupportedTypeError):
        codec_for(name)


def test_bounds_and_type_numbers() -> None:
    array = parse_array("ARRAY [-1..1, 0..4] OF STRING(20)")
    assert array is not None
    assert (array.bounds, array.dims, array.element) == (((-1, 1), (0, 4)), (3, 5), "STRING(20)")
    assert parse_array("INT") is None
    assert type_id_of("ARRAY [0..1] OF WSTRING(3)") == TypeId.WSTRING
    assert [type_id_of(n) for n in ("BOOL", "TIME", "LREAL", "STRING")] == [33, 19, 5, 30]
