"""A sink that takes messages by a plain call, alone in the task of their sender or many at once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.lowlevel

from flowbus import Config, Delivery, Lost, Message, NodeIO, Outcome, State, io_node, transform
from flowbus.supervisor import RestartPolicy
from flowbus.testing import run_flow


class Nothing(Config):
    """No options."""


class Buffer:
    """Ends what it takes when it is flushed; some payloads are its undoing."""

    size = 4

    def __init__(self) -> None:
        self.waiting: list[Delivery] = []
        self.got: list[Any] = []
        self.tasks: set[str] = set()

    def has_room(self) -> bool:
        return len(self.waiting) < self.size

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()
        self.flush()

    def put(self, delivery: Delivery) -> None:
        self.tasks.add(trio.lowlevel.current_task().name)
        if delivery.message.payload == "bug":
            raise KeyError("bug")
        if delivery.message.payload == "lost":
            delivery.message.headers["times"].append(1)
            if len(delivery.message.headers["times"]) == 1:
                raise Lost("gone")
        self.waiting.append(delivery)

    def flush(self) -> None:
        for delivery in self.waiting:
            self.got.append(delivery.message.payload)
            delivery.confirm()
        self.waiting.clear()


buffer = Buffer()


def fresh_buffer_now() -> None:
    buffer.__init__()  # type: ignore[misc]


@pytest.fixture(autouse=True)
def fresh_buffer() -> None:
    fresh_buffer_now()


@io_node("buffered", outlets=())
async def buffered(config: Nothing, io: NodeIO) -> None:
    await io.consume(buffer)


@transform("same")
def same(message: Message, config: Nothing) -> Message:
    return message


FLOW = {
    "nodes": {
        "in": {"type": "test-source"},
        "same": {"type": "same"},
        "x": {"type": "buffered"},
        "errors": {"type": "test-sink"},
    },
    "wires": [["in", "same"], ["same", "x"], ["x.error", "errors"]],
}
QUICK = RestartPolicy(first_delay=0.01, max_delay=0.01)


async def test_alone_or_many_all_arrive_in_order() -> None:
    with trio.fail_after(10):
        async with run_flow(FLOW, [buffered, same]) as flow:
            await flow.wait_running("in", "x")
            for number in range(5):
                assert (await flow.put("in", Message(number))).outcome is Outcome.CONFIRMED
                await trio.sleep(0.001)
            assert any("source" in name for name in buffer.tasks)  # in the task of the sender
            for number in range(5, 500):
                flow.put_soon("in", Message(number))
            await flow.wait_settled()
            assert buffer.got == list(range(500))
            assert flow.report()["nodes"]["x"]["taken"] == 500


async def test_a_sink_takes_of_a_batch_what_it_has_room_for_and_the_rest_follows() -> None:
    @io_node("burst")
    async def burst(config: Nothing, io: NodeIO) -> None:
        await trio.sleep(0.01)  # until the sink waits
        await io.send_many([Message(number) for number in range(10)])

    @io_node("hoard", outlets=())
    async def hoard(config: Nothing, io: NodeIO) -> None:
        buffer.size = 100
        await io.consume(buffer)

    for sink, at_once in (("buffered", 4), ("hoard", 10)):
        flow_file = {"nodes": {"in": {"type": "burst"}, "x": {"type": sink}}, "wires": [["in", "x"]]}
        with trio.fail_after(10):
            async with run_flow(flow_file, [burst, buffered, hoard]) as flow:
                await flow.ended.wait()
                assert buffer.got == list(range(10))
                assert len(buffer.tasks) == (1 if at_once == 10 else 2)
                report = flow.report()
                assert (report["nodes"]["x"]["taken"], report["wires"][0]["passed"]) == (10, 10)
        fresh_buffer_now()


async def test_a_bug_in_the_sink_is_the_sinks() -> None:
    with trio.fail_after(10):
        async with run_flow(FLOW, [buffered, same], policy=QUICK) as flow:
            await flow.wait_running("in", "x")
            await trio.sleep(0.01)
            end = await flow.put("in", Message("bug"))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.bug")
            assert (await flow.get("errors")).headers["fault"]["node"] == "x"
            assert flow.status("in").state is State.RUNNING
            assert (await flow.put("in", Message(1))).outcome is Outcome.CONFIRMED
            assert flow.report()["nodes"]["x"]["restarts"] == 1


async def test_a_sink_that_loses_its_peer_gets_the_message_again() -> None:
    with trio.fail_after(10):
        async with run_flow(FLOW, [buffered, same], policy=QUICK) as flow:
            await flow.wait_running("in", "x")
            await trio.sleep(0.01)
            end = await flow.put("in", Message("lost", headers={"times": []}))
            assert end.outcome is Outcome.CONFIRMED
            assert buffer.got == ["lost"]
