from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from flowbus_core_nodes.output import Budget, line, shown, write

from flowbus import Message, Quality, Secret


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, "ü", True]}, '{"a":[1,2.5,"ü",true]}'),
        ("a\nb", '"a\\nb"'),
        (None, "null"),
        ({"a": None, "b": math.nan}, '{"a":null,"b":NaN}'),
        (math.inf, "Infinity"),
        (b"\x00a", "\"b'\\\\x00a'\""),
        ({1: "x"}, '{"1":"x"}'),
        (2**70, str(2**70)),
        ("\ud800", "'\\ud800'"),
        (Secret("hunter22"), '"***"'),
        ((1, 2), "[1,2]"),
    ],
)
def test_values_are_shown_as_json_where_they_can_be(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_value_without_end_is_shown_somehow() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert shown(endless) == "[[...]]"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "<list, nested too deeply>"
    while deep:  # freed bit by bit, or its destructor would recurse as deeply
        deep = deep[0]


def test_a_line_has_time_node_topic_and_payload() -> None:
    message = Message({"v": 1}, "a/b", {"h": 1}, 7, 1_700_000_000_123_456_789, Quality.BAD)
    assert line("dbg", message, False, 100).endswith('.123 dbg a/b {"v":1}')
    assert line("dbg", message.replace(topic=""), False, 100).endswith('.123 dbg {"v":1}')
    assert line("dbg", message, True, 1000).endswith(
        '.123 dbg {"id":7,"time":1700000000123456789,"topic":"a/b","headers":{"h":1},"quality":"bad","payload":{"v":1}}'
    )


def test_a_line_is_one_line_and_cannot_steer_the_terminal() -> None:
    text = line("dbg", Message("\x1b[2J\x9b31m\u202e", "a\nb\x1b"), False, 1000)
    assert text.isprintable()
    assert "a\\nb\\x1b" in text


def test_a_long_line_is_cut() -> None:
    text = line("dbg", Message("x" * 1000), False, 50)
    assert len(text) == 50
    assert text.endswith("x…")


def test_a_budget_holds_for_a_second() -> None:
    budget = Budget(3)
    assert budget.grant(2, 10.0) == (0, 2)
    assert budget.grant(5, 10.5) == (0, 1)
    assert budget.grant(2, 10.9) == (0, 0)
    assert (budget.untold, budget.suppressed, budget.ends) == (6, 6, 11.0)
    assert budget.grant(4, 11.0) == (6, 3)
    assert (budget.untold, budget.suppressed) == (1, 7)
    assert budget.grant(0, 50.0) == (1, 0)
    assert budget.grant(3, 50.1) == (0, 3)
    assert Budget(None).grant(10**6, 1.0) == (0, 10**6)


def test_what_a_stream_cannot_encode_is_written_out(monkeypatch: Any, tmp_path: Any) -> None:
    path = tmp_path / "out"
    with open(path, "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        write("stdout", "ü€\n")
    assert path.read_text() == "\\xfc\\u20ac\n"


def test_a_missing_stream_is_an_error(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(OSError, match="this process has none"):
        write("stderr", "x")
