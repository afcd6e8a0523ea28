from __future__ import annotations

from typing import Any

import pytest
import trio

from flowbus import ConfigError, Message, Outcome
from flowbus.testing import run_flow


async def test_only_what_fulfils_the_condition_passes(apply: Any) -> None:
    results = await apply("filter", *map(Message, [1, 5, 9]), condition="payload > 3")
    assert [m.payload for m in results["out"]] == [5, 9]


async def test_the_others_are_dropped() -> None:
    nodes = {
        "in": {"type": "test-source"},
        "f": {"type": "filter", "condition": "payload.ok"},
        "out": {"type": "test-sink"},
    }
    with trio.fail_after(10):
        async with run_flow({"nodes": nodes, "wires": [["in", "f"], ["f", "out"]]}) as flow:
            assert (await flow.put("in", Message({"ok": False}))).outcome is Outcome.DROPPED
            assert (await flow.put("in", Message("no object"))).outcome is Outcome.DROPPED
            assert (await flow.put("in", Message({"ok": 1}))).outcome is Outcome.CONFIRMED


async def test_a_condition_that_fails_rejects(apply: Any, fault: Any) -> None:
    assert (
        "condition: T2009"
        in fault(await apply("filter", Message("x"), condition="payload > 3"))["text"]
    )


async def test_a_bad_condition_is_refused() -> None:
    with pytest.raises(ConfigError, match="condition: character 9"):
        async with run_flow(
            {"nodes": {"f": {"type": "filter", "condition": "payload !"}}, "wires": []}
        ):
            pass
