"""Texts that a message fills."""

from __future__ import annotations

import math
from typing import Any

import pytest

from flowbus.errors import Rejected
from flowbus.message import Message
from flowbus.template import Template

MESSAGE = Message(
    {"a": {"b": [1, "two", {"c": True}]}, "n": 2.5, "none": None, "1": "key"},
    topic="line/3",
    headers={"unit": "mm", "x.y": 7, "deep": {"er": "z"}},
    id=42,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{topic}", "line/3"),
        ("site/{topic}/{id}", "site/line/3/42"),
        ("{payload.a.b.1}-{payload.a.b.0}-{payload.a.b.2.c}", "two-1-true"),
        ("{payload.n}", "2.5"),
        ("{payload.1}", "key"),
        ("{headers.unit}{headers.x.y}{headers.deep.er}", "mm7z"),
        ("{{topic}} {{{id}}}", "{topic} {42}"),
    ],
)
def test_render(text: str, expected: str) -> None:
    assert Template(text).render(MESSAGE) == expected


def test_a_scalar_payload_fills_a_gap() -> None:
    template = Template("<{payload}>")
    assert template.render(Message("x")) == "<x>"
    assert template.render(Message(False)) == "<false>"
    assert template.render(Message(10**20)) == f"<{10**20}>"


def test_only_a_template_without_gaps_is_constant() -> None:
    assert Template("a{{b}}").is_constant
    assert not Template("a{id}").is_constant
    assert Template("a{{b}}").text == "a{{b}}"


@pytest.mark.parametrize(
    ("text", "message", "why"),
    [
        ("{payload.x}", MESSAGE, "the message has no payload.x"),
        ("{payload.a.b.3}", MESSAGE, "the message has no payload.a.b.3"),
        ("{payload.a.b.-1}", MESSAGE, "the message has no payload.a.b.-1"),
        ("{payload.n.x}", MESSAGE, "the message has no payload.n.x"),
        ("{headers.x}", MESSAGE, "the message has no headers.x"),
        ("{topic}", Message(1), "the message has no topic"),
        ("{payload.a}", MESSAGE, "payload.a is an object"),
        ("{payload.a.b}", MESSAGE, "payload.a.b is a list"),
        ("{payload.none}", MESSAGE, "payload.none is null"),
        ("{payload}", Message(b"x"), "payload is of type bytes"),
        ("{payload}", Message(math.nan), "payload is not finite"),
        ("{payload.0}", Message("text"), "the message has no payload.0"),
    ],
)
def test_what_is_missing_or_does_not_fit_rejects_the_message(
    text: str, message: Message, why: str
) -> None:
    with pytest.raises(Rejected, match=why) as caught:
        Template(text).render(message)
    assert caught.value.fault.code == "flowbus.rejected"


@pytest.mark.parametrize(
    "text",
    ["{", "}", "a{topic", "{}", "{nope}", "{topic.x}", "{payload.}", "{payload..a}", "{headers}",
     "{headers.}", "{{topic}", "{to{pic}}"],
)  # fmt: skip
def test_bad_syntax_is_an_error_when_it_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="template"):
        Template(text)


def test_templates_are_values() -> None:
    same: Any = Template("{id}")
    assert Template("{id}") == same
    assert hash(Template("{id}")) == hash(same)
    assert Template("{id}") != Template("{topic}")
    assert repr(same) == "Template('{id}')"
