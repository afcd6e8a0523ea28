from __future__ import annotations

import math
import time
from typing import Any

import pytest
import trio
from flowbus_core_nodes.inject import Inject, Ticks
from flowbus_core_nodes.patterns import payloads

from flowbus import ConfigError, Message, State
from flowbus.testing import Flow, run_flow


def injecting(**options: Any) -> dict[str, Any]:
    return {
        "nodes": {"in": {"type": "inject", **options}, "out": {"type": "test-sink"}},
        "wires": [["in", "out"]],
    }


async def get(flow: Flow, count: int) -> list[Message]:
    return [await flow.get("out") for _ in range(count)]


async def values(count: int, **options: Any) -> list[Any]:
    with trio.fail_after(10):
        async with run_flow(injecting(count=count, **options)) as flow:
            return [message.payload for message in await get(flow, count)]


async def test_one_message_is_emitted_by_default() -> None:
    before = time.time_ns()
    with trio.fail_after(10):
        async with run_flow(injecting(topic="t", headers={"a": 1})) as flow:
            (message,) = await get(flow, 1)
            await flow.wait_state("in", State.STOPPED)
            await flow.wait_settled()
            assert flow.report()["ledger"]["emitted"] == 1
    assert (message.topic, dict(message.headers)) == ("t", {"a": 1})
    assert message.payload["count"] == 1
    assert before // 1_000_000 <= message.payload["time"] <= time.time_ns() // 1_000_000


async def test_the_flow_ends_when_all_are_emitted() -> None:
    with trio.fail_after(20):
        async with run_flow(injecting(count=5000, pattern="counter")) as flow:
            assert [m.payload for m in await get(flow, 5000)] == list(range(1, 5001))
            await flow.wait_state("in", State.STOPPED)
            await flow.wait_settled()
            ledger = flow.report()["ledger"]
    assert (ledger["emitted"], ledger["confirmed"], ledger["in_flight"]) == (5000, 5000, 0)


async def test_interval_0_goes_on_as_fast_as_the_flow_takes_it() -> None:
    with trio.fail_after(20):
        async with run_flow(injecting(interval=0, pattern="counter")) as flow:
            assert [m.payload for m in await get(flow, 3000)] == list(range(1, 3001))
            report = await flow.stop()
    assert report["ledger"]["in_flight"] == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"payload": {"a": 1}}, [{"a": 1}] * 3),
        ({"payload": False}, [False] * 3),
        ({"pattern": "constant"}, [None] * 3),
        ({"pattern": "constant", "payload": "x"}, ["x"] * 3),
        ({"pattern": "counter"}, [1, 2, 3]),
        ({"values": ["a", None]}, ["a", None, "a"]),
        ({"values": [1], "pattern": "list"}, [1, 1, 1]),
        ({"pattern": "ramp", "min": 1, "max": 2}, [1, 2, 1]),
        ({"pattern": "ramp", "min": 5, "max": 5}, [5, 5, 5]),
        ({"pattern": "ramp", "min": 0, "max": 1, "step": 0.75}, [0.0, 0.75, 0.0]),
        ({"pattern": "ramp", "min": 0, "max": 1, "step": 7}, [0, 0, 0]),
    ],
)
async def test_patterns(options: Any, expected: list[Any]) -> None:
    found = await values(3, **options)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


async def test_a_ramp_reaches_its_end_and_adds_up_no_error() -> None:
    found = await values(8, pattern="ramp", min=0, max=0.3, step=0.1)
    assert found == pytest.approx([0, 0.1, 0.2, 0.3] * 2, abs=1e-12)


async def test_random_values_lie_within_their_bounds_and_are_repeatable() -> None:
    options = {"pattern": "random", "min": -1, "max": 1, "seed": 7}
    found = await values(50, **options)
    assert all(-1 <= value <= 1 for value in found)
    assert len(set(found)) == 50
    assert found == await values(50, **options)
    assert found != await values(50, **{**options, "seed": 8})


async def test_a_timestamp_is_in_ms() -> None:
    before = time.time_ns() // 1_000_000
    (found,) = await values(1, pattern="timestamp")
    assert before <= found <= time.time_ns() // 1_000_000


async def test_a_sine_follows_the_time_of_its_messages(
    autojump_clock: trio.testing.MockClock,
) -> None:
    found = await values(9, pattern="sine", interval=0.5, min=-1, max=3, period=2)
    assert found == pytest.approx([1, 3, 1, -1, 1, 3, 1, -1, 1], abs=1e-9)


def test_a_sine_without_an_interval_follows_the_clock() -> None:
    clock = iter([0.0, 2.5, 7.5])
    pattern = payloads(Inject(pattern="sine", min=0, max=2), lambda: next(clock))
    assert [next(pattern) for _ in range(3)] == pytest.approx([1, 2, 0], abs=1e-9)


async def test_messages_come_at_multiples_of_the_interval(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(injecting(interval=0.1, delay=3, pattern="counter")) as flow:
        began = trio.current_time()
        for tick in range(50):
            await flow.get("out")
            assert trio.current_time() - began == pytest.approx(3 + tick * 0.1, abs=0.02)


async def test_a_tick_that_is_missed_is_counted_and_not_made_up_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ticks = Ticks(1.0)
    began = trio.current_time()
    await ticks.next()
    await trio.sleep(3.6)  # the flow took no message meanwhile: ticks 1, 2 pass, 3 is late
    await ticks.next()
    assert (ticks.missed, ticks.elapsed(), trio.current_time() - began) == (2, 3.0, 3.6)
    await ticks.next()
    assert (ticks.missed, ticks.elapsed(), trio.current_time() - began) == (2, 4.0, 4.0)
    for _ in range(100):
        await trio.sleep(0.3)
        await ticks.next()
    assert ticks.missed == 2
    assert trio.current_time() - began == pytest.approx(104.0)


async def test_ticks_go_on_at_any_rate(autojump_clock: trio.testing.MockClock) -> None:
    ticks = Ticks(1e-7)
    await ticks.next()
    for _ in range(100):
        await ticks.next()
    assert math.isfinite(ticks.elapsed())


async def test_the_flow_can_be_stopped_while_it_waits() -> None:
    with trio.fail_after(10):
        async with run_flow(injecting(interval=3600)) as flow:
            await flow.get("out")
            report = await flow.stop()
    assert report["ledger"]["confirmed"] == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"payload": 1, "pattern": "ramp"}, "payload goes with the pattern constant, not ramp"),
        ({"payload": 1, "values": [1]}, "payload goes with the pattern constant, not list"),
        ({"values": [1], "pattern": "sine"}, "values go with the pattern list, not sine"),
        ({"values": []}, "empty|at least 1"),
        ({"pattern": "list"}, "the pattern list needs values"),
        ({"min": 2, "max": 1}, "min 2 is greater than max 1"),
        ({"step": 1e-300}, "step is too small"),
        ({"min": -1.7e308, "max": 1.7e308}, "step is too small"),
        ({"step": 0}, "step"),
        ({"period": 0}, "period"),
        ({"interval": -1}, "interval"),
        ({"delay": -1}, "delay"),
        ({"count": 0}, "count"),
        ({"pattern": "square"}, "pattern"),
    ],
)
async def test_bad_options_are_refused(options: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        async with run_flow(injecting(**options)):
            pass
