from __future__ import annotations

import re
from typing import Any

import pytest

from flowbus import ConfigError, Message, Quality
from flowbus.testing import run_flow


async def test_the_payload_is_replaced_and_the_rest_stays(apply: Any) -> None:
    message = Message({"value": 3}, "a/b", {"qos": 1}, time=5_000_000, quality=Quality.UNCERTAIN)
    (out,) = (await apply("map", message, payload="payload.value * 0.5"))["out"]
    assert (out.payload, out.topic, dict(out.headers), out.time, out.quality) == (
        1.5, "a/b", {"qos": 1}, 5_000_000, Quality.UNCERTAIN,
    )  # fmt: skip


async def test_topic_and_headers_are_replaced_and_the_payload_stays(apply: Any) -> None:
    message = Message(b"\xff", "a/b", {"qos": 1, "old": True})
    options = {
        "topic": "'site/' & topic",
        "headers": {"qos": "headers.qos + 1", "old": "headers.none", "n": "null"},
    }
    (out,) = (await apply("map", message, **options))["out"]
    assert out.payload == b"\xff"
    assert out.topic == "site/a/b"
    assert dict(out.headers) == {"qos": 2, "n": None}


async def test_every_expression_sees_the_message_as_it_came(apply: Any) -> None:
    options = {"payload": "topic", "topic": "payload", "headers": {"both": "payload & topic"}}
    (out,) = (await apply("map", Message("p", "t"), **options))["out"]
    assert (out.payload, out.topic, out.headers["both"]) == ("t", "p", "pt")


async def test_null_is_a_value(apply: Any) -> None:
    (out,) = (await apply("map", Message({"a": None}), payload="payload.a"))["out"]
    assert out.payload is None


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (
            {"payload": "payload.valeu * 2"},
            "core.no_value",
            r"payload: payload\.valeu \* 2 gives nothing",
        ),
        ({"payload": "payload.value + 'x'"}, "core.expression", "payload: T2002"),
        (
            {"topic": "payload.value"},
            "core.no_value",
            r"topic: payload\.value does not give a text; \$string",
        ),
        ({"topic": "site/line"}, "core.no_value", "topic: site/line gives nothing; .*'site/line'"),
        ({"headers": {"h": "$error('no')"}}, "core.expression", r"headers\.h: D3137: no"),
        ({"payload": "1", "topic": "null"}, "core.no_value", "topic: null does not give a text"),
        ({"payload": "[1..5000000]"}, "core.expression_limit", "payload: D2015"),
    ],
)
async def test_what_cannot_be_mapped_is_rejected(
    apply: Any, fault: Any, options: Any, code: str, text: str
) -> None:
    found = fault(await apply("map", Message({"value": 1}), **options))
    assert found["code"] == code
    assert re.search(text, found["text"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "a map needs a payload, a topic or headers"),
        ({"payload": "payload =="}, "payload: character 10"),
        ({"topic": "'x"}, "topic: at its end"),
        ({"headers": {"h": ""}}, "headers.h: the expression is empty"),
        ({"payload": 5}, "expected a text"),
    ],
)
async def test_a_bad_map_is_refused(options: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        async with run_flow({"nodes": {"m": {"type": "map", **options}}, "wires": []}):
            pass
