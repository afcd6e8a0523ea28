"""What expressions see, give and refuse, and what keeps them from costing too much."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from flowbus_core_nodes import expression as module
from flowbus_core_nodes.expression import (
    LENGTH,
    NOTHING,
    Condition,
    Expression,
    value_of,
    view,
    view_for,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbus import Message, Quality, Rejected


def evaluate(text: str, payload: Any = None, **fields: Any) -> Any:
    return Expression(text, "x").evaluate(view(Message(payload, **fields)))


def holds(text: str, payload: Any = None) -> bool:
    return Condition(text, "x").holds(view(Message(payload)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("payload.a", 1),
        ("topic", "site/line3"),
        ("headers.qos", 2),
        ("id", 7),
        ("time", 1_700_000_000_123),
        ("quality", "uncertain"),
        ("$fromMillis(time)", "2023-11-14T22:13:20.123Z"),
        ("$split(topic, '/')[1]", "line3"),
        ("{'v': payload.a}", {"v": 1}),
        ("payload.list[$ > 1]", [2, 3]),
        ("payload.list[$ > 2]", 3),
        ("payload.nothing", NOTHING),
        ("payload.void", None),
        ("null", None),
        ("payload.empty", []),
        ("'a' /* and a note */ & 'b'", "ab"),
    ],
)
def test_an_expression_sees_the_message(text: str, value: object) -> None:
    message = Message(
        {"a": 1, "list": [1, 2, 3], "void": None, "empty": []},
        "site/line3", {"qos": 2}, 7, 1_700_000_000_123_456_789, Quality.UNCERTAIN,
    )  # fmt: skip
    assert Expression(text, "x").evaluate(view(message)) == value


def test_parts_that_are_not_touched_may_hold_anything() -> None:
    assert evaluate("topic", b"\xff", topic="t") == "t"
    assert evaluate("payload.a", {"a": 1, "b": {1, 2}}) == 1
    assert evaluate("{'raw': payload.raw, 'n': 1}", {"raw": {"x": b"\x00"}}) == {
        "raw": {"x": b"\x00"},
        "n": 1,
    }


@pytest.mark.parametrize("payload", [b"ab", (1, 2), 2**64, "\ud800", {1}])
def test_what_jsonata_cannot_read_rejects_the_message(payload: object) -> None:
    with pytest.raises(Rejected) as caught:
        evaluate("payload", payload)
    assert caught.value.fault.code == "core.expression"
    assert caught.value.text.startswith("x: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", False), ("payload.none", False), ("0", False), ("-1", True),
        ("''", False), ("'false'", True), ("[]", False), ("[0]", False), ("[0, 1]", True), ("[[]]", False),
        ("{}", False), ("{'a': 1}", True), ("function($x){$x}", False), ("$sum", False),
        ("payload.a = 1", True), ("payload.a = 2", False), ("payload.a > 0 and payload.b", False),
        ("$exists(payload.a)", True), ("$not(payload.a = 2)", True),
            ("$not(payload.b)", False),  # not of nothing is nothing, as the reference has it
    ],
)  # fmt: skip
def test_truth_is_that_of_jsonata(text: str, value: bool) -> None:
    assert holds(text, {"a": 1}) is value
    assert (evaluate(f"$boolean({text})", {"a": 1}) is True) is value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("payload.cmd = ", "at its end"),
        ("payload.cmd = 'speed", "at its end"),
        ("payload.(", "at its end"),
        ("[1, 2", "at its end"),
        ("foo bar", "character 5"),
        ("a[1]]", "character 5"),
        ("{'a' 1}", "character 6"),
        ("1 + + 2", "character 5"),
        ("a ~ b", "character 3"),
        ("payload.a == 1", "character 12: .*compares with a single ="),
        ("payload.a && payload.b", "character 12: .*says and"),
        ("payload.a || payload.b", "character 11: .*says or"),
        ("!payload.a", r"character 1: .*\$not"),
        ("", "is empty"),
        ("  \n", "is empty"),
        ("x" * (LENGTH + 1), f"{LENGTH + 1} characters, {LENGTH} are allowed"),
        ("\ud800", "x: "),
        ("$nosuch(1)", r"character 1: there is no function \$nosuch"),
        ("1 + $rondom()", r"character 5: there is no function \$rondom"),
        ("(" * 3000 + "1" + ")" * 3000, "nesting depth"),
    ],
)
def test_a_bad_expression_is_refused_with_its_place(text: str, place: str) -> None:
    for kind in (Expression, Condition):
        with pytest.raises(ValueError, match=f"(?s)x: .*{place}|{place}") as caught:
            kind(text, "x")
        assert str(caught.value).startswith("x: ")


@pytest.mark.parametrize(
    "text",
    [
        "($f := function($n) { $n * 2 }; $f(payload))",
        "$map([1], function($v) { $v })",
        "payload ~> $string",
        "'$f(x)'",
    ],
)
def test_a_function_that_is_bound_or_only_text_is_no_unknown_one(text: str) -> None:
    assert evaluate(text, 1) is not NOTHING


def test_every_error_of_an_evaluation_rejects() -> None:
    for text in (
        "'a' + 1",
        "payload > 'x'",
        "$error('stop')",
        "$sqrt(-1)",
        "$number('x')",
        "1/0",
        "-1/0",
    ):
        with pytest.raises(Rejected) as caught:
            evaluate(text, 1)
        assert caught.value.fault.code == "core.expression", text


@pytest.mark.parametrize(
    "text",
    [
        "($f := function($x) { $f($x + 1) }; $f(1))",
        "($f := function($x) { 1 + $f($x + 1) }; $f(1))",
        "($f := function($n) { $n < 2 ? 1 : $f($n - 1) + $f($n - 2) }; $f(60))",
        "[1..5000000]",
        "$count([1..100000].([1..100000]))",
        "$map([1..10000000], function($v) { $v * 2 })",
        "$eval('[1..5000000]')",
        "$filter([1..90000], function($x) { $count($filter([1..90000], function($y) { $y = $x })) > 5 })",
    ],
)
def test_an_expression_without_end_is_stopped(text: str) -> None:
    # The trial at compile time is stopped too; it must not keep the flow from being checked.
    for kind in (Expression(text, "x").evaluate, Condition(text, "x").holds):
        with pytest.raises(Rejected) as caught:
            kind(view(Message(None)))
        assert caught.value.fault.code == "core.expression_limit"


def test_what_stays_within_the_limits_works() -> None:
    assert evaluate("$count([1..100000])") == 100_000
    assert evaluate("($f := function($n) { $n < 2 ? 1 : 1 + $f($n - 1) }; $f(200))") == 200
    assert evaluate("$match('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!', /^(a+)+$/)") is NOTHING
    assert evaluate("payload + 0" + " + 1" * 200, 0) == 200


def test_functions_of_time_and_chance_work() -> None:
    assert abs(evaluate("$millis()") - time.time() * 1000) < 60_000
    assert 0 <= evaluate("$random()") < 1
    assert evaluate("$now() > '2020'") is True


def test_value_of_wants_a_value() -> None:
    seen = view(Message({"a": None}))
    assert value_of(Expression("payload.a", "x"), seen) is None
    with pytest.raises(Rejected, match=r"core\.no_value: x: payload\.b gives nothing"):
        value_of(Expression("payload.b", "x"), seen)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abpayload.$()[]{}'\"`/*+-<>=?:;,!&|~^%@#01 \n", max_size=30))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    try:
        compiled = Expression(text, "x")
    except ValueError:
        return
    with contextlib.suppress(Rejected):
        compiled.evaluate(view(Message({"a": [1, {"b": None}]})))


def test_the_limit_of_time_stays_below_what_the_runtime_calls_blocked() -> None:
    assert module.TIME_LIMIT < 250


@pytest.mark.parametrize(
    "text",
    [
        "payload.cmd = 'speed'", "payload.value * 0.5", "payload.value*2 % 3", "{'a': payload.a, 'b': 1}",
        "payload", "topic", "*", "**", "* ", "(*)", "payload.*", "payload.list[*]", "%", "payload.%", "$",
        "$$", "$.payload", "$keys()", "$string()", "payload in *", "payload.cmd & topic", "`topic`",
        "'the topic'", "[*]", "{'x': *}", "payload.list[0] * 2", "headers.a", "1 + *", "payload ~> $count()",
        "payload ~> |$|{'a': 9}|", "payload.list.(*)", "true or *", "/* topic */ payload",
    ],
)  # fmt: skip
def test_the_cheapest_view_says_the_same(text: str) -> None:
    payload = {"cmd": "speed", "value": 8, "a": 1, "list": [1, 2, {"b": 3}]}
    message = Message(payload, "t", {"a": 1}, id=7, time=8_000_000)
    try:
        expression = Expression(text, "x")
    except ValueError:
        pytest.skip("no expression")

    def outcome(seen: Any) -> Any:
        try:
            return expression.evaluate(seen)
        except Rejected as refused:
            return str(refused)

    assert outcome(view_for(text)(message)) == outcome(view(message))
