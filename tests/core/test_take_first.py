"""What a node may take out of its turn, what it remembers, and what it hears of full wires."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from flowbus import Config, Lost, Message, NodeIO, Outcome, State, io_node
from flowbus.faults import WIRE_FULL
from flowbus.supervisor import RestartPolicy
from flowbus.testing import run_flow


class Nothing(Config):
    """No options."""


FLOW = {
    "nodes": {"in": {"type": "test-source"}, "also": {"type": "test-source"}, "x": {"type": "shut"}},
    "wires": [["in", "x"], {"from": "also", "to": "x", "ttl": 60}],
}


class Door:
    """What the node below has been told to, and what it saw."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.wanted: list[object] = []
        self.others: list[object] = []


door: Door


@pytest.fixture(autouse=True)
def fresh_door() -> None:
    global door
    door = Door()


def is_key(message: Message) -> bool:
    return message.payload in ("key", "open")


@io_node("shut", outlets=())
async def shut(config: Nothing, io: NodeIO) -> None:
    """Take keys alone, until it is opened; then everything."""
    while True:
        delivery = await io.take_first(is_key)
        door.wanted.append(delivery.message.payload)
        delivery.confirm()
        if delivery.message.payload == "open":
            break
    door.opened.set()
    while True:
        for delivery in await io.take_many():
            door.others.append(delivery.message.payload)
            delivery.confirm()


@pytest.mark.parametrize("source", ["in", "also"])
async def test_what_is_wanted_overtakes_and_the_rest_keeps_its_place(source: str) -> None:
    with trio.fail_after(10):
        async with run_flow(FLOW, [shut]) as flow:
            for number in range(5):
                flow.put_soon(source, Message(number))
            assert (await flow.put(source, Message("key"))).outcome is Outcome.CONFIRMED
            assert (await flow.put("also", Message("key"))).outcome is Outcome.CONFIRMED
            for number in range(5, 10):
                flow.put_soon(source, Message(number))
            await trio.testing.wait_all_tasks_blocked()
            assert door.others == []
            assert (await flow.put(source, Message("open"))).outcome is Outcome.CONFIRMED
            assert (await flow.put(source, Message("key"))).outcome is Outcome.CONFIRMED
            report = await flow.stop()
    assert door.others == [*range(10), "key"]
    assert report["ledger"]["in_flight"] == 0
    assert report["nodes"]["x"]["taken"] == 14


async def test_what_is_too_old_is_not_taken() -> None:
    flow_of_old = {**FLOW, "wires": [{"from": "in", "to": "x", "ttl": 0.001}, ["also", "x"]]}
    with trio.fail_after(10):
        async with run_flow(flow_of_old, [shut]) as flow:
            assert (await flow.put("in", Message(1))).outcome is Outcome.EXPIRED
            assert (await flow.put("also", Message("key"))).outcome is Outcome.CONFIRMED


@io_node("forgetful", outlets=())
async def forgetful(config: Nothing, io: NodeIO) -> None:
    """Lose its peer with each message, and count how often it was started."""
    io.memory["starts"] = io.memory.get("starts", 0) + 1
    delivery = await io.take()
    if delivery.message.payload > io.memory["starts"]:
        raise Lost("gone")
    delivery.reject(f"started {io.memory['starts']} times")
    await trio.sleep_forever()


async def test_a_node_remembers_what_it_wants_across_restarts() -> None:
    nodes = {
        "in": {"type": "test-source"}, "x": {"type": "forgetful"},
        "other": {"type": "test-source"}, "y": {"type": "forgetful"},
    }  # fmt: skip
    with trio.fail_after(10):
        wires = [["in", "x"], ["other", "y"]]
        async with run_flow({"nodes": nodes, "wires": wires}, [forgetful]) as flow:
            assert (await flow.put("in", Message(3))).text == "started 3 times"
            assert (await flow.put("other", Message(1))).text == "started 1 times"


@pytest.mark.parametrize("when_full", ["drop-oldest", "drop-newest", "reject"])
async def test_a_source_hears_how_many_messages_found_a_full_wire(when_full: str) -> None:
    seen: list[int] = []

    @io_node("gusher")
    async def gusher(config: Nothing, io: NodeIO) -> None:
        await io.send_many([Message(number) for number in range(10)])
        seen.append(io.overflow())
        await trio.sleep_forever()

    @io_node("stuck", outlets=())
    async def stuck(config: Nothing, io: NodeIO) -> None:
        await trio.sleep_forever()

    wire = {"from": "a", "to": "b", "capacity": 4, "when_full": when_full}
    with trio.fail_after(10):
        flow_of_two = {"nodes": {"a": {"type": "gusher"}, "b": {"type": "stuck"}}, "wires": [wire]}
        async with run_flow(flow_of_two, [gusher, stuck]) as flow:
            await trio.testing.wait_all_tasks_blocked()
            report = flow.report()
    assert seen == [6]
    assert report["wires"][0]["dropped"] == 6
    rejected = report["nodes"]["a"]["faults"].get(WIRE_FULL.code, 0)
    assert rejected == (6 if when_full == "reject" else 0)


@io_node("hopeless", outlets=())
async def hopeless(config: Nothing, io: NodeIO) -> None:
    """Never reach its peer; a key is all that it takes."""
    io.wake_for(is_key)
    door.wanted.append("start")
    with trio.move_on_after(0):
        (await io.take_first(is_key)).confirm()
        return
    raise Lost("gone")


async def test_a_node_is_woken_for_what_it_wants_and_for_nothing_else() -> None:
    patient = RestartPolicy(first_delay=1000, max_delay=1000, jitter=lambda: 1.0)
    nodes = {"in": {"type": "test-source"}, "x": {"type": "hopeless"}}
    value = {"nodes": nodes, "wires": [["in", "x"]]}
    with trio.fail_after(10):
        async with run_flow(value, [hopeless], policy=patient) as flow:
            await flow.wait_state("x", State.WAITING)
            flow.put_soon("in", Message("no key"))
            await trio.testing.wait_all_tasks_blocked()
            assert door.wanted == ["start"]
            assert (await flow.put("in", Message("key"))).outcome is Outcome.CONFIRMED
            assert door.wanted == ["start"] * 2


async def test_a_node_that_does_not_take_what_it_is_woken_for_is_not_started_over_and_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    @io_node("deaf", outlets=())
    async def deaf(config: Nothing, io: NodeIO) -> None:
        io.wake_for(is_key)
        door.wanted.append("start")
        raise Lost("gone")

    patient = RestartPolicy(first_delay=1000, max_delay=1000, jitter=lambda: 1.0)
    nodes = {"in": {"type": "test-source"}, "x": {"type": "deaf"}}
    async with run_flow({"nodes": nodes, "wires": [["in", "x"]]}, [deaf], policy=patient) as flow:
        flow.put_soon("in", Message("key"))
        await trio.sleep(10)
    assert len(door.wanted) <= 101
