from __future__ import annotations

import math
import re
from typing import Any

import pytest

from flowbus import Message


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2.5, null, "ü"]}',
        '{"a": [1, 2.5, null, "ü"]}'.encode(),
        bytearray(b'{"a":[1,2.5,null,"\xc3\xbc"]}'),
    ],
)
async def test_text_and_bytes_are_decoded(apply: Any, text: Any) -> None:
    (out,) = (await apply("json-decode", Message(text, "t", {"h": 1})))["out"]
    assert out.payload == {"a": [1, 2.5, None, "ü"]}
    assert (out.topic, dict(out.headers)) == ("t", {"h": 1})


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        ('{"a": 1,\n "b" 2}', r"not JSON: line 2, column 6: .*, at '2}'"),
        ("", r"not JSON: line 1, column 1: "),
        (b"\xff\xfe", "not JSON: line 1, column 1: .*UTF-8"),
        ("NaN", "line 1, column 1"),
        ("[" * 5000, "not JSON: line 1"),
        ("{'a': 1}", r"column 2"),
        ('"\ud800"', "UTF-8|surrogate"),
        (None, "expected a text or bytes, got null"),
        (True, "expected a text or bytes, got a truth value"),
        (4, "got a number"),
        ({"a": 1}, r"got an object \(it is decoded already\)"),
        ([1], r"got a list \(it is"),
        (object, "got a value of type type"),
    ],
)
async def test_what_is_not_json_is_rejected_with_its_place(
    apply: Any, fault: Any, text: Any, explanation: str
) -> None:
    found = fault(await apply("json-decode", Message(text)))
    assert found["code"] == "core.not_json"
    assert re.search(explanation, found["text"])


@pytest.mark.parametrize(
    ("text", "fits"),
    [('"12345678"', True), ('"123456789"', False), (b'"12345678"', True), (b'"123456789"', False),
     ('"üüüü"', True), ('"üüüüü"', False), ('"€€"', True), ('"€€€"', False), (memoryview(b'"12345678"'), True)],
)  # fmt: skip
async def test_max_bytes_counts_bytes(apply: Any, fault: Any, text: Any, fits: bool) -> None:
    results = await apply("json-decode", Message(text), max_bytes=10)
    if fits:
        assert len(results["out"]) == 1
    else:
        assert fault(results)["code"] == "core.too_large"
        assert (
            fault(results)["text"] == "11 bytes, 10 are allowed"
            or "12 bytes" in fault(results)["text"]
        )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, '{"b":1,"a":"ü"}'),
        ({"to": "bytes"}, '{"b":1,"a":"ü"}'.encode()),
        ({"sort_keys": True}, '{"a":"ü","b":1}'),
        ({"indent": True}, '{\n  "b": 1,\n  "a": "ü"\n}'),
        (
            {"indent": True, "sort_keys": True, "to": "bytes"},
            '{\n  "a": "ü",\n  "b": 1\n}'.encode(),
        ),
    ],
)
async def test_values_are_encoded(apply: Any, options: Any, text: Any) -> None:
    (out,) = (await apply("json-encode", Message({"b": 1, "a": "ü"}), **options))["out"]
    assert out.payload == text


async def test_null_is_encoded_where_it_is_meant(apply: Any) -> None:
    results = await apply(
        "json-encode", Message(None), Message({"a": [None, 1.5, (2, None)]}), Message("null")
    )
    assert [m.payload for m in results["out"]] == ["null", '{"a":[null,1.5,[2,null]]}', '"null"']


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "payload is not a finite number"),
        ({"a": [1, {"b": math.inf}]}, r"payload\.a\[1\]\.b is not a finite number"),
        ([None, -math.inf], r"payload\[1\] is not"),
        (b"abc", "bytes"),
        ({"a": b"abc"}, "bytes"),
        ({1: 2}, "str"),
        (2**64, "64-bit"),
        ("\ud800", "surrogates"),
        ({"a": {1, 2}}, "set"),
    ],
)
async def test_what_json_cannot_hold_is_rejected(
    apply: Any, fault: Any, value: Any, text: str
) -> None:
    found = fault(await apply("json-encode", Message(value)))
    assert found["code"] == "core.not_encodable"
    assert re.search(text, found["text"])


async def test_a_value_nested_too_deeply_is_rejected(apply: Any, fault: Any) -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    assert fault(await apply("json-encode", Message(value)))["code"] == "core.not_encodable"
