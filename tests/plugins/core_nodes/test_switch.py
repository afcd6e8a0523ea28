from __future__ import annotations

from typing import Any

import pytest

from flowbus import ConfigError, Message
from flowbus.testing import run_flow

CASES = {"speed": "payload.cmd = 'speed'", "big": "payload.value > 10"}
OUTLETS = ("speed", "big", "else")


async def test_the_first_case_that_holds_gets_the_message(apply: Any) -> None:
    messages = [
        Message({"cmd": "speed", "value": 11}),
        Message({"value": 12}),
        Message({"value": 1}),
        Message("x"),
    ]
    results = await apply("switch", *messages, outlets=OUTLETS, cases=CASES)
    assert [m.payload for m in results["speed"]] == [{"cmd": "speed", "value": 11}]
    assert [m.payload for m in results["big"]] == [{"value": 12}]
    assert [m.payload for m in results["else"]] == [{"value": 1}, "x"]
    assert results["error"] == []


async def test_in_mode_all_every_case_that_holds_gets_it(apply: Any) -> None:
    messages = [Message({"cmd": "speed", "value": 11}), Message({"value": 1})]
    results = await apply("switch", *messages, outlets=OUTLETS, cases=CASES, mode="all")
    assert len(results["speed"]) == len(results["big"]) == len(results["else"]) == 1
    assert results["speed"][0].id == results["big"][0].id != results["else"][0].id


async def test_the_order_of_the_file_decides(apply: Any) -> None:
    cases = {"zebra": "true", "ant": "true"}
    results = await apply("switch", Message(1), outlets=("zebra", "ant", "else"), cases=cases)
    assert len(results["zebra"]) == 1
    assert not results["ant"]


async def test_topic_headers_and_quality_can_decide(apply: Any) -> None:
    cases = {"t": "topic = 'a/b'", "h": "headers.qos = 1", "q": "quality != 'bad'"}
    messages = [Message(1, "a/b"), Message(2, "", {"qos": 1}), Message(b"\xff")]
    results = await apply("switch", *messages, outlets=("t", "h", "q", "else"), cases=cases)
    assert [len(results[name]) for name in ("t", "h", "q", "else")] == [1, 1, 1, 0]


async def test_a_case_that_cannot_be_evaluated_rejects_and_is_named(apply: Any, fault: Any) -> None:
    results = await apply("switch", Message({"value": "ten"}), outlets=OUTLETS, cases=CASES)
    assert fault(results)["code"] == "core.expression"
    assert "case 'big': T2009" in fault(results)["text"]


async def test_a_case_behind_the_one_that_holds_is_not_evaluated(apply: Any) -> None:
    results = await apply(
        "switch", Message(1), outlets=("a", "b", "else"), cases={"a": "true", "b": "1 + 'x'"}
    )
    assert len(results["a"]) == 1


@pytest.mark.parametrize(
    ("cases", "text"),
    [
        ({"speed": "payload.cmd == 'x'"}, "case 'speed': character 14: .*single ="),
        ({"good": "true", "bad": "payload."}, "case 'bad': at its end"),
        ({"else": "true"}, "case 'else': every switch has an outlet of that name"),
        ({"error": "true"}, "case 'error': every switch"),
        ({"status": "true"}, "case 'status': every switch"),
        ({"Speed": "true"}, "case 'Speed': a name begins with a-z"),
        ({"a.b": "true"}, "case 'a.b': a name"),
        ({}, "at least 1|must not be empty"),
        ({"a": 1}, "expected a text"),
    ],
)
async def test_bad_cases_are_refused_before_the_flow_runs(cases: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        async with run_flow({"nodes": {"s": {"type": "switch", "cases": cases}}, "wires": []}):
            pass
