"""The strict JSON reader."""

from __future__ import annotations

import json

import pytest

from flowbus.jsontext import MAX_DEPTH, MAX_FLAWS, Document, parse


def problems(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return [f"{p.line}:{p.column} {p.path} {p.message}" for p in parse(data, "f.json").problems]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, -2.5, 1e3, 0, -0, 1E-2], "b": {"c": null}, "d": [true, false], "e": ""}',
        " [ ] ",
        "{}",
        '"\\u00e4\\n\\ud83d\\ude00 / \\/"',
        "\r\n[\t1 ,\n2\r]\n",
        '{"a":{"a":{"a":[[[]]]}}}',
        "12345678901234567890123",
    ],
)
def test_reads_what_json_reads(text: str) -> None:
    document = parse(text.encode(), "f.json")
    assert document.problems == []
    assert document.value == json.loads(text)


def test_positions_count_characters_from_one() -> None:
    document = parse('{\n  "ä": "ü", "b": [1,\r\n {"c": 2}]\n}'.encode(), "f.json")
    assert document.position(()) == (1, 1)
    assert document.position(("ä",)) == (2, 8)
    assert document.position(("b",), key=True) == (2, 13)
    assert document.position(("b", 0)) == (2, 19)
    assert document.position(("b", 1, "c")) == (3, 8)


def test_position_of_what_is_not_there_is_the_value_around_it() -> None:
    document = parse(b'{"a": {"b": 1}}', "f.json")
    assert document.position(("a", "x", 3)) == (1, 7)
    assert document.position(("a", "b", "c")) == (1, 13)
    assert document.position(("a", 0), key=True) == (1, 7)


def test_every_duplicate_key_is_reported_and_the_first_counts() -> None:
    document = parse(b'{"a": 1,\n "a": 2, "b": {"c": 1, "c": 2, "c": 3}}', "f.json")
    assert [(p.line, p.column, p.path) for p in document.problems] == [
        (2, 2, "a"),
        (2, 24, "b.c"),
        (2, 32, "b.c"),
    ]
    assert document.problems[0].message == 'the key "a" is here twice, first in line 1'
    assert document.value == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,}', '1:8 (top level) a comma before "}": remove it'),
        ('{"a": [1,]}', '1:9 a a comma before "]": remove it'),
        ("[NaN]", "1:2 [0] JSON has no NaN; a number must be finite"),
        ("[-Infinity]", "1:2 [0] JSON has no -Infinity; a number must be finite"),
        ("[1e999]", "1:2 [0] the number 1e999 is too large"),
        ("[01]", '1:2 [0] "01" is not a JSON number'),
        ("[+1]", '1:2 [0] "+1" is not a JSON number'),
        ("[.5]", '1:2 [0] ".5" is not a JSON number'),
        ("[1.]", '1:2 [0] "1." is not a JSON number'),
        ("[0x10]", '1:2 [0] "0x10" is not a JSON number'),
        ('{"a": True}', '1:7 a expected a value, found "True"; JSON spells it true'),
        ('{"a": None}', '1:7 a expected a value, found "None"; JSON spells it null'),
        ('{"a": x}', '1:7 a expected a value, found "x"; a text needs double quotes'),
        ("['a']", "1:2 [0] texts stand in double quotes, not in single ones"),
        ("{a: 1}", '1:2 (top level) expected a key in double quotes, found "a"'),
        ('{"a" 1}', '1:6 (top level) expected ":" after the key "a", found "1"'),
        ("[1 2]", '1:4 (top level) expected "," or "]", found "2"'),
        ('{"a": 1 "b": 2}', '1:9 (top level) expected "," or "}", found a text'),
        ("[1", '1:3 (top level) expected "," or "]", found the end of the file'),
        ("", "1:1 (top level) expected a value, found the end of the file"),
        ("{} {}", '1:4 (top level) expected the end of the file, found "{"'),
        ('["a', "1:2 [0] the text that begins here has no closing double quote"),
        (
            '["a\nb"]',
            "1:4 [0] a line break or control character inside a text; write it as \\n or \\u",
        ),
        ('["\\ud800"]', "1:2 [0] half of a surrogate pair (\\ud800 to \\udfff) is no character"),
    ],
)
def test_each_error_has_its_place_and_says_what_to_do(text: str, expected: str) -> None:
    assert problems(text) == [expected]
    assert parse(text.encode(), "f.json").value is None


def test_comments_are_errors_and_reading_goes_on() -> None:
    found = problems('// one\n{"a": 1 /* two\n */, # three\n "b": NaN}')
    assert [line.split()[0] for line in found] == ["1:1", "2:9", "3:6", "4:7"]


def test_a_bad_escape_is_an_error() -> None:
    assert "write \\\\ for a backslash" in problems('["C:\\path"]')[0]


def test_encodings() -> None:
    assert problems(b'{"a":\n "\xe4"}')[0] == (
        "2:3 (top level) the file is not UTF-8 (byte 8 is 0xE4); save it as UTF-8"
    )
    assert "UTF-16" in problems('{"a": 1}'.encode("utf-16"))[0]
    assert "byte order mark" in problems('{"a": 1}'.encode("utf-8-sig"))[0]


def test_nesting_is_limited() -> None:
    assert problems("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
    assert "64 objects and arrays" in problems("[" * 100_000)[0]


def test_long_numbers_and_endless_errors_are_bounded() -> None:
    assert "digits" in problems("9" * 1_000_000)[0]
    assert len(problems("[" + "NaN," * 1000 + "1]")) == MAX_FLAWS


@pytest.mark.parametrize("end", range(60))
def test_every_prefix_of_a_text_is_an_error(end: int) -> None:
    text = b'{"a": [1, "b\\u00e4\\n", {"c": null}], "d": -1.5e3, "e": true}'
    assert parse(text[:end], "f.json").problems
    assert not parse(text, "f.json").problems


def test_a_value_without_a_text_stands_at_the_beginning() -> None:
    assert Document.of({"a": [1]}, "f").position(("a", 0)) == (1, 1)
