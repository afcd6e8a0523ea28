"""Columns, spans of time, rates, and the rows of a status."""

from __future__ import annotations

from typing import Any

import pytest

from flowbus.cli.rows import Rates, rows, states
from flowbus.cli.table import age, aligned, rate


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned([["A", "BB", "C"], ["long", "1", ""]], right={1}) == ["A     BB  C", "long   1"]


def test_a_cell_is_one_line_and_printable() -> None:
    assert aligned([["a\nb\x1b[31m"]]) == ["a b\\x1b[31m"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (185, "3m 5s"),
        (7200, "2h"),
        (90_000, "1d 1h"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.04, "0.0"), (9.96, "10.0"), (12_345.6, "12,346")]
)
def test_rates_in_words(number: float, text: str) -> None:
    assert rate(number) == text


def status(taken: int = 0, sent: int = 0) -> dict[str, Any]:
    common = {"type": "t", "state": "running", "code": "", "text": "", "since": 0.0, "restarts": 0}
    return {
        "connections": {"line": {**common, "state": "waiting"}},
        "nodes": {"a": {**common, "taken": taken, "sent": sent, "rejected": 0}},
        "wires": [{"to": "a", "depth": 2}, {"to": "a", "depth": 3}],
    }


def test_connections_come_first_and_depths_add_up() -> None:
    line, a = rows(status())
    assert (line.name, line.is_connection, line.depth) == ("line", True, None)
    assert (a.name, a.is_connection, a.depth) == ("a", False, 5)
    assert states([line, a, a]) == "2 running, 1 waiting"
    assert states([]) == "nothing runs"


def test_rates_are_those_since_the_last_look() -> None:
    rates = Rates()
    assert rates.look(10.0, rows(status(5, 5))) == {"a": (0.0, 0.0)}
    assert rates.look(12.0, rows(status(15, 6))) == {"a": (5.0, 0.5)}
    assert rates.look(12.0, rows(status(99, 99))) == {"a": (5.0, 0.5)}
