from __future__ import annotations

from typing import Any

import pytest
import trio

from flowbus import ConfigError, Message, Outcome
from flowbus.testing import run_flow


async def test_each_item_becomes_a_message(apply: Any) -> None:
    results = await apply(
        "split", Message([1, "b", None], "t", {"h": 1}), Message((4,)), Message([])
    )
    assert [m.payload for m in results["out"]] == [1, "b", None, 4]
    assert {m.topic for m in results["out"][:3]} == {"t"}
    assert len({m.id for m in results["out"][:3]}) == 1


async def test_items_can_be_numbered(apply: Any) -> None:
    results = await apply("split", Message(["a", "b"], "", {"h": 1}), numbered=True)
    assert [dict(m.headers) for m in results["out"]] == [
        {"h": 1, "part": 0, "parts": 2},
        {"h": 1, "part": 1, "parts": 2},
    ]


@pytest.mark.parametrize("payload", [None, "abc", b"abc", {"a": 1}, 4])
async def test_only_lists_are_split(apply: Any, fault: Any, payload: Any) -> None:
    found = fault(await apply("split", Message(payload)))
    assert found["code"] == "core.not_a_list"
    assert type(payload).__name__ in found["text"]


def gathering(**options: Any) -> dict[str, Any]:
    return {
        "nodes": {
            "in": {"type": "test-source"},
            "b": {"type": "batch", **options},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "b"], ["b", "out"]],
    }


async def test_a_full_list_is_sent_and_ends_its_messages() -> None:
    with trio.fail_after(10):
        async with run_flow(gathering(size=3, timeout=None)) as flow:
            for number in range(5):
                flow.put_soon("in", Message(number, f"t{number}", {"n": number}))
            out = await flow.get("out")
            assert (out.payload, out.topic, dict(out.headers)) == ([0, 1, 2], "t0", {"n": 0})
            assert (await flow.put("in", Message(5))).outcome is Outcome.CONFIRMED
            assert (await flow.get("out")).payload == [3, 4, 5]
            ledger = flow.report()["ledger"]
            assert (ledger["emitted"], ledger["confirmed"], ledger["in_flight"]) == (6, 6, 0)


async def test_a_list_of_many_keeps_the_order_and_the_size() -> None:
    with trio.fail_after(20):
        async with run_flow(gathering(size=7)) as flow:
            for number in range(700):
                flow.put_soon("in", Message(number))
            lists = [(await flow.get("out")).payload for _ in range(100)]
    assert [number for part in lists for number in part] == list(range(700))
    assert {len(part) for part in lists} == {7}


async def test_a_shorter_list_is_sent_when_its_time_has_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(gathering(size=100, timeout=5.0)) as flow:
        began = trio.current_time()
        flow.put_soon("in", Message(1))
        await trio.sleep(4)
        assert flow.got("out") == []
        flow.put_soon("in", Message(2))
        assert (await flow.get("out")).payload == [1, 2]
        # The time of a list begins with its first item, and the next list has a time of its own.
        assert trio.current_time() - began < 6
        await trio.sleep(100)
        flow.put_soon("in", Message(3))
        assert (await flow.get("out")).payload == [3]


async def test_what_is_held_is_sent_while_the_flow_stops() -> None:
    with trio.fail_after(10):
        async with run_flow(gathering(size=100, timeout=None)) as flow:
            await flow.wait_running()
            for number in range(3):
                flow.put_soon("in", Message(number))
            while flow.report()["ledger"]["emitted"] < 3:
                await trio.testing.wait_all_tasks_blocked()
            report = await flow.stop()
            assert [m.payload for m in flow.got("out")] == [[0, 1, 2]]
    assert report["ledger"]["confirmed"] == 3
    assert report["ledger"]["in_flight"] == 0


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": 100_001}, {"timeout": 0}, {"timeout": -1}]
)
async def test_a_bad_batch_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError):
        async with run_flow(gathering(**options)):
            pass
