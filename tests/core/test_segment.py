"""Transforms in a row: fused or not, one by one or many, what arrives is the same."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio

from flowbus import Config, Message, NodeIO, Outcome, Rejected, State, io_node, transform
from flowbus.testing import run_flow


class Nothing(Config):
    """No options."""


class Many(Config):
    times: int = 5000


@transform("plus-one")
def plus_one(message: Message, config: Nothing) -> Message:
    return message.with_payload(message.payload + 1)


@transform("split-up")
def split_up(message: Message, config: Many) -> list[Message]:
    return [Message(number) for number in range(config.times)]


@transform("refuse-all")
def refuse_all(message: Message, config: Nothing) -> Message:
    raise Rejected("always")


@transform("sum-up")
class SumUp:
    def __init__(self, config: Nothing) -> None:
        self.sum = 0

    def __call__(self, message: Message) -> Message:
        if message.payload is None:
            raise ZeroDivisionError
        self.sum += message.payload
        return message.with_payload(self.sum)


@io_node("slow-source")
async def slow_source(config: Many, io: NodeIO) -> None:
    """Sends one message at a time, so far apart that each comes alone."""
    for number in range(config.times):
        await io.send(Message(number))
        await trio.sleep(0.0005)


@io_node("fast-source")
async def fast_source(config: Many, io: NodeIO) -> None:
    await io.send_many([Message(number) for number in range(config.times)])


@io_node("stuck", outlets=())
async def stuck(config: Nothing, io: NodeIO) -> None:
    """Takes one message and holds it."""
    await io.take()
    await trio.sleep_forever()


TYPES: list[Any] = [plus_one, split_up, refuse_all, SumUp, slow_source, fast_source, stuck]


def chain(source: dict[str, Any], length: int, sink: str = "test-sink") -> dict[str, Any]:
    names = ["source", *(f"n{index}" for index in range(length)), "sink"]
    nodes: dict[str, Any] = {name: {"type": "plus-one"} for name in names}
    return {
        "nodes": {**nodes, "source": source, "sink": {"type": sink}},
        "wires": [[before, after] for before, after in pairwise(names)],
    }


@pytest.mark.parametrize("length", [1, 49, 50, 51, 300])
@pytest.mark.parametrize("kind", ["slow-source", "fast-source"])
async def test_a_chain_of_any_length(length: int, kind: str) -> None:
    with trio.fail_after(30):
        async with run_flow(chain({"type": kind, "times": 50}, length), TYPES) as flow:
            got = [(await flow.get("sink")).payload for _ in range(50)]
            assert got == [number + length for number in range(50)]
            await flow.ended.wait()
            report = flow.report()
            assert report["ledger"]["confirmed"] == 50
            assert {node["taken"] for name, node in report["nodes"].items() if name != "source"} == {50}
            assert {wire["passed"] for wire in report["wires"]} == {50}


@pytest.mark.parametrize("kind", ["slow-source", "fast-source"])
async def test_a_split_waits_for_room_however_it_came(kind: str) -> None:
    value = {
        "nodes": {
            "source": {"type": kind, "times": 3},
            "split": {"type": "split-up", "times": 5000},
            "sink": {"type": "stuck"},
        },
        "wires": [["source", "split"], ["split", "sink"]],
    }
    with trio.fail_after(10):
        async with run_flow(value, TYPES, drain=0) as flow:
            await flow.wait_running("sink")
            await trio.sleep(0.1)
            assert all(wire["high"] <= 128 for wire in flow.report()["wires"])


async def test_a_source_that_gives_up_waiting_leaves_nothing_behind_in_the_segment() -> None:
    @io_node("impatient")
    async def impatient(config: Nothing, io: NodeIO) -> None:
        """Sends one message once the segment waits, and does not wait for room behind it."""
        await trio.sleep(0.01)
        with trio.move_on_after(0.05):
            await io.send(Message(0))
        await trio.sleep_forever()

    value = {
        "nodes": {
            "source": {"type": "impatient"},
            "split": {"type": "split-up", "times": 200},
            "sink": {"type": "stuck"},
            "other": {"type": "test-sink"},
        },
        "wires": [["source", "split"], ["split", "sink"], ["split", "other"]],
    }
    with trio.fail_after(10):
        async with run_flow(value, [*TYPES, impatient], drain=0) as flow:
            got = [(await flow.get("other")).payload for _ in range(200)]
            assert got == list(range(200))


async def test_a_stuck_error_branch_stops_the_source() -> None:
    value = {
        "nodes": {
            "source": {"type": "slow-source", "times": 2000},
            "refuse": {"type": "refuse-all"},
            "sink": {"type": "stuck"},
        },
        "wires": [["source", "refuse"], {"from": "refuse.error", "to": "sink", "capacity": 4}],
    }
    with trio.fail_after(10):
        async with run_flow(value, TYPES, drain=0) as flow:
            await flow.wait_running("source")
            await trio.sleep(0.3)
            report = flow.report()
            error_wire = next(wire for wire in report["wires"] if wire["to"] == "sink")
            assert error_wire["high"] <= 4 + 1
            assert report["ledger"]["emitted"] < 300


async def test_descendants_keep_id_and_time_of_what_they_descend_from() -> None:
    value = {
        "nodes": {
            "in": {"type": "test-source"},
            "split": {"type": "split-up", "times": 2},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "split"], ["split", "out"]],
    }
    with trio.fail_after(10):
        async with run_flow(value, TYPES) as flow:
            assert (await flow.put("in", Message(1, time=123))).outcome is Outcome.CONFIRMED
            got = flow.got("out")
            assert [message.time for message in got] == [123, 123]
            assert got[0].id == got[1].id != 0


async def test_a_bug_degrades_a_transform_and_it_goes_on_with_fresh_state() -> None:
    value = {
        "nodes": {
            "in": {"type": "test-source"},
            "sum": {"type": "sum-up"},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "sum"], ["sum", "out"]],
    }
    with trio.fail_after(10):
        async with run_flow(value, TYPES) as flow:
            for payload in (1, 2, None, 5):
                await flow.put("in", Message(payload))
            assert [message.payload for message in flow.got("out")] == [1, 3, 5]
            assert flow.status("sum").state is State.DEGRADED
            assert flow.status("sum").code == "flowbus.bug"
