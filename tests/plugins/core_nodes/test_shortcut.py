"""Short expressions answer exactly what the engine answers, or leave the answer to it."""

from __future__ import annotations

from typing import Any

import pytest
from flowbus_core_nodes.expression import NOTHING, Condition, Expression, view
from flowbus_core_nodes.shortcut import UNSURE, shortcut
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowbus import Message, Rejected

SCALARS = (
    st.none() | st.booleans() | st.text(max_size=3) | st.sampled_from(["speed", "stop", ""])
    | st.integers(-(2**70), 2**70) | st.integers(-3, 3)
    | st.floats() | st.sampled_from([0.0, -0.0, 0.5, 1.5, 4.0, 2.0**53, -(2.0**53) + 1])
    | st.binary(max_size=2)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abx"), inner, max_size=2)
)
PATHS = st.sampled_from(["payload", "payload.a", "payload.a.b", "payload.b", "topic", "topic.a", "payload.a.b.x"])
CONSTANTS = st.sampled_from(
    ["0", "1", "-1", "0.5", "4.0", "1.50", "-0.0", "3", "999999999999999", "'speed'", '"stop"', "''", "'ü'", "true",
     "false", "null"]
)  # fmt: skip
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "*", "/", "+", "-"])
TEXTS = PATHS | CONSTANTS | st.builds("{} {} {}".format, PATHS, SIGNS, CONSTANTS)


def answer(evaluate: Any, message: Message) -> tuple[Any, ...]:
    """The value with its type, since 1 == 1.0 == True; or the refusal with its text."""
    try:
        value = evaluate(view(message))
    except Rejected as refusal:
        return (refusal.fault.code, refusal.text)
    return (type(value), repr(value))


@given(TEXTS, VALUES)
@example("payload.a * 0.5", {"a": 3})
@example("payload.a * 0.5", {"a": 8})
@example("payload.a", {"a": 4.0})
@example("payload.a", {"a": ["one"]})
@example("payload.a = 1", {"a": True})
@example("payload.a < 1", {"a": "1"})
@example("payload.a = 'ü'", {"a": "ü"})
@example("payload.a", {"a": "\ud800"})
@settings(max_examples=1500, deadline=None)
def test_it_is_the_engine_s_answer(text: str, payload: Any) -> None:
    message = Message(payload, "speed")
    short, long = Expression(text, "x"), Expression(text, "x")
    long._short = None
    assert answer(short.evaluate, message) == answer(long.evaluate, message)
    short_condition, long_condition = Condition(text, "x"), Condition(text, "x")
    long_condition._short = None
    assert answer(short_condition.holds, message) == answer(long_condition.holds, message)


@pytest.mark.parametrize(
    ("text", "payload", "value"),
    [
        ("'line3/speed'", None, "line3/speed"),
        (" 12 ", None, 12),
        ("payload", {"a": 1}, {"a": 1}),
        ("payload.a.b", {"a": {"b": "x"}}, "x"),
        ("payload.cmd = 'speed'", {"cmd": "speed"}, True),
        ("payload.cmd = 'speed'", {"cmd": "stop"}, False),
        ("payload.value > 10", {"value": 10.5}, True),
        ("payload.value*0.5", {"value": 9}, 4.5),
        ("payload.value * 0.5", {"value": 8}, 4),
    ],
)
def test_what_is_short_is_answered_without_the_engine(text: str, payload: Any, value: Any) -> None:
    short = shortcut(text, lambda constant: Expression(constant, "x").evaluate({}))
    assert short is not None
    got = short(view(Message(payload)))
    assert (type(got), got) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("payload.a", {}),
        ("payload.a", None),
        ("payload.a", {"a": None}),
        ("payload.a", {"a": [1]}),
        ("payload.a", [{"a": 1}]),
        ("payload.a.b", {"a": [{"b": 1}]}),
        ("payload.a", {"a": 2**53}),
        ("payload.a", {"a": 4.0}),
        ("payload.a", {"a": "ü"}),
        ("payload.a = 1", {"a": float("nan")}),
        ("payload.a / 0", {"a": 1}),
        ("payload.a * 2", {"a": True}),
    ],
)
def test_what_is_not_certain_is_left_to_the_engine(text: str, payload: Any) -> None:
    short = shortcut(text, lambda constant: Expression(constant, "x").evaluate({}))
    assert short is not None
    assert short(view(Message(payload))) is UNSURE


@pytest.mark.parametrize(
    "text",
    ["payload.a + payload.b", "$sum(payload)", "payload.and", "payload.a[0]", "1 = payload.a", "payload.a = 'it\\'s'",
     "payload.*", "headers.qos", "payload.a > 1 and payload.b", "payload.a * 'x'"],
)  # fmt: skip
def test_anything_longer_is_the_engine_s(text: str) -> None:
    assert shortcut(text, lambda constant: NOTHING if constant == "'x'" else 1) is None
