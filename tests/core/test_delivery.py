"""What becomes of a message when its node, its peer or its time runs out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from flowbus import (
    Config,
    ConnectionIO,
    Delivery,
    Lost,
    Message,
    NodeIO,
    Outcome,
    Ref,
    Rejected,
    State,
    connection,
    io_node,
    transform,
)
from flowbus.supervisor import RestartPolicy
from flowbus.testing import Flow, run_flow


class Peer:
    """A peer that the test can take down, that hangs up on some payloads, and that keeps the rest."""

    def __init__(self) -> None:
        self.up = True
        self.lost = trio.Event()
        self.kills: set[Any] = set()
        self.got: list[Any] = []
        self.tried: list[Any] = []
        self.answers = trio.Event()
        self.answers.set()

    async def write(self, value: Any) -> None:
        self.tried.append(value)
        if not self.up or value in self.kills:
            raise Lost("hung up")
        await self.answers.wait()
        self.got.append(value)

    def go_down(self) -> None:
        self.up = False
        self.lost.set()

    def come_back(self) -> None:
        self.up = True
        self.lost = trio.Event()


peer = Peer()


@pytest.fixture(autouse=True)
def fresh_peer() -> None:
    peer.__init__()  # type: ignore[misc]


class Nothing(Config):
    """No options."""


class ViaPeer(Config):
    connection: Ref["peer"]


@connection("peer")
async def peer_connection(config: Nothing, io: ConnectionIO) -> AsyncIterator[Peer]:
    if not peer.up:
        raise Lost("refused")

    async def watch() -> None:
        await peer.lost.wait()
        raise Lost("went away")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield peer
        nursery.cancel_scope.cancel()


@io_node("write", ttl=10.0)
async def write(config: ViaPeer, io: NodeIO) -> None:
    handle = await io.connection()

    async def once(message: Message) -> None:
        with io.once(message):
            await handle.write(message.payload)

    await io.each(once)


@io_node("send")
async def send(config: Nothing, io: NodeIO) -> None:
    if not peer.up:
        raise Lost("refused")

    async def handle(message: Message) -> None:
        await peer.write(message.payload)

    await io.each(handle)


@io_node("answer")
async def answer(config: Nothing, io: NodeIO) -> None:
    """Answers the first message last."""
    gate = trio.Event()

    async def handle(message: Message) -> Message:
        if message.payload == 0:
            await gate.wait()
        elif message.payload == 3:
            gate.set()
        return Message(-message.payload)

    await io.each(handle, limit=4)


@io_node("pipeline")
async def pipeline(config: Nothing, io: NodeIO) -> None:
    """Takes three, ends the second, loses its peer; after that it confirms all."""
    if peer.up:
        held: list[Delivery] = []
        while len(held) < 3:
            held += await io.take_many()
        held[1].confirm()
        peer.up = False
        raise Lost("gone")

    async def handle(message: Message) -> None:
        peer.got.append(message.payload)

    await io.each(handle)


@io_node("echo", duplex=True)
async def echo(config: Nothing, io: NodeIO) -> None:
    """A duplex node whose peer sends back what it gets, plus one."""
    to_peer, from_node = trio.open_memory_channel[int](10)

    async def receive() -> None:
        await io.send(Message(0))
        async for number in from_node:
            await io.send(Message(number + 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        while True:
            for delivery in await io.take_many():
                delivery.confirm()
                if delivery.message.payload >= 100_000:
                    return nursery.cancel_scope.cancel()
                await to_peer.send(delivery.message.payload)


@transform("refuse")
def refuse(message: Message, config: Nothing) -> Message:
    raise Rejected("always")


TYPES: list[Any] = [peer_connection, write, send, answer, pipeline, echo, refuse]
STEADY = RestartPolicy(first_delay=0.01, max_delay=0.01)


def flow_of(kind: str, **more: Any) -> dict[str, Any]:
    options = {"connection": "peer"} if kind == "write" else {}
    return {
        "connections": {"peer": {"type": "peer"}} if kind == "write" else {},
        "nodes": {"in": {"type": "test-source"}, "x": {"type": kind, **options, **more}},
        "wires": [["in", "x"]],
    }


def ends(flow: Flow) -> dict[str, int]:
    ledger = flow.report()["ledger"]
    return {k: ledger[k] for k in ("confirmed", "rejected", "expired", "dropped", "in_flight")}


async def test_a_lost_peer_costs_no_message_and_no_order(autojump_clock: trio.testing.MockClock) -> None:
    async with run_flow(flow_of("send"), TYPES) as flow:
        await flow.wait_running()
        peer.up = False
        for number in range(50):
            flow.put_soon("in", Message(number))
        await trio.sleep(20)
        assert peer.got == []
        peer.up = True
        await flow.wait_settled()
        assert peer.got == list(range(50))
        assert ends(flow)["confirmed"] == 50


async def test_what_a_crashed_node_held_goes_back_to_its_old_place() -> None:
    with trio.fail_after(10):
        async with run_flow(flow_of("pipeline"), TYPES) as flow:
            for number in range(6):
                flow.put_soon("in", Message(number))
            await flow.wait_settled()
            while len(peer.got) < 5:
                await trio.sleep(0.01)
            assert peer.got == [0, 2, 3, 4, 5]
            assert ends(flow)["confirmed"] == 6


async def test_a_message_that_kills_its_peer_is_poison_while_others_pass(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(flow_of("send"), TYPES, policy=STEADY) as flow:
        await flow.wait_running()
        peer.kills = {2}
        for number in range(5):
            flow.put_soon("in", Message(number))
        await flow.wait_settled()
        assert peer.got == [0, 1, 3, 4]
        assert ends(flow) | {"rejected": 1} == ends(flow)
        assert peer.tried.count(2) in (6, 7)  # the first time perhaps not alone
        assert flow.report()["nodes"]["x"]["rejected"] == 1


async def test_a_network_that_flaps_for_all_is_nobodys_poison(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(flow_of("send"), TYPES, policy=STEADY) as flow:
        await flow.wait_running()
        peer.kills = {2, 3}
        for number in range(6):
            flow.put_soon("in", Message(number))
        await trio.sleep(5)
        peer.kills = set()
        await flow.wait_settled()
        assert sorted(peer.got) == list(range(6))
        assert ends(flow)["confirmed"] == 6


async def test_results_leave_in_the_order_of_the_messages() -> None:
    flow_value = flow_of("answer")
    flow_value["nodes"]["out"] = {"type": "test-sink"}
    flow_value["wires"].append(["x", "out"])
    with trio.fail_after(10):
        async with run_flow(flow_value, TYPES) as flow:
            for number in range(4):
                flow.put_soon("in", Message(number))
            got = [await flow.get("out") for _ in range(4)]
            assert [message.payload for message in got] == [0, -1, -2, -3]
            assert len({message.id for message in got}) == 4


async def test_an_interrupted_write_is_unconfirmed_and_never_repeated() -> None:
    with trio.fail_after(10):
        async with run_flow(flow_of("write"), TYPES) as flow:
            await flow.wait_running()
            peer.answers = trio.Event()
            async with trio.open_nursery() as nursery:
                end: list[Any] = []

                async def put() -> None:
                    end.append(await flow.put("in", Message(7)))

                nursery.start_soon(put)
                while not peer.tried:
                    await trio.sleep(0.005)
                peer.go_down()
            assert (end[0].outcome, end[0].code) == (Outcome.REJECTED, "flowbus.unconfirmed")
            await flow.wait_state("x", State.WAITING)
            assert flow.status("x").code == "flowbus.lost"
            peer.answers.set()
            peer.come_back()
            await flow.wait_running()
            assert (await flow.put("in", Message(8))).outcome is Outcome.CONFIRMED
            assert peer.tried == [7, 8]


async def test_a_command_that_waited_out_the_outage_expires(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(flow_of("write"), TYPES) as flow:
        await flow.wait_running()
        peer.go_down()
        await flow.wait_state("x", State.WAITING)
        asked = trio.current_time()
        end = await flow.put("in", Message(1))
        assert end.outcome is Outcome.EXPIRED
        assert 10 <= trio.current_time() - asked < 10.1  # on time, while its node waits
        flow.put_soon("in", Message(2))
        await trio.sleep(5)
        peer.come_back()
        await flow.wait_settled()
        assert peer.tried == [2]
        assert ends(flow) == {"confirmed": 1, "rejected": 0, "expired": 1, "dropped": 0, "in_flight": 0}


async def test_the_nodes_of_a_connection_wait_with_its_code_and_come_back() -> None:
    with trio.fail_after(10):
        async with run_flow(flow_of("write"), TYPES) as flow:
            await flow.wait_running()
            for _ in range(3):
                peer.go_down()
                await flow.wait_state("peer", State.WAITING)
                await flow.wait_state("x", State.WAITING)
                await flow.wait_code("x", "flowbus.lost")
                assert "connection peer" in flow.status("x").text
                peer.come_back()
                await flow.wait_running()
            assert (await flow.put("in", Message(1))).outcome is Outcome.CONFIRMED


async def test_an_echo_passes_100_000_messages_through_its_own_wire() -> None:
    with trio.fail_after(60):
        value = {"nodes": {"x": {"type": "echo"}}, "wires": [["x", "x"]]}
        async with run_flow(value, TYPES) as flow:
            while flow.exit is None:
                await trio.sleep(0.05)
            assert flow.report()["ledger"]["confirmed"] == 100_001


async def test_a_message_leaves_by_error_once_in_its_life() -> None:
    value = {
        "nodes": {
            "in": {"type": "test-source"},
            "x": {"type": "refuse"},
            "y": {"type": "refuse"},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "x"], ["*.error", "y"], ["y.error", "out"]],
    }
    with trio.fail_after(10):
        async with run_flow(value, TYPES) as flow:
            end = await flow.put("in", Message(1))
            assert (end.outcome, end.text) == (Outcome.REJECTED, "always")
            assert flow.got("out") == []
            nodes = flow.report()["nodes"]
            assert (nodes["x"]["rejected"], nodes["y"]["rejected"]) == (1, 1)


async def test_statuses_are_values_on_the_status_outlet() -> None:
    value = flow_of("write")
    value["nodes"]["out"] = {"type": "test-sink"}
    value["wires"].append(["x.status", "out"])
    with trio.fail_after(10):
        async with run_flow(value, TYPES) as flow:
            seen = []
            while "running" not in seen:
                seen.append((await flow.get("out")).payload["state"])
            peer.go_down()
            message = await flow.get("out")
            while message.payload["state"] != "waiting":
                message = await flow.get("out")
            assert message.topic == "x"
            assert message.payload["code"] == "flowbus.lost"
            assert flow.report()["ledger"]["emitted"] == 0


async def test_the_end_comes_when_all_sources_have_returned_and_nothing_is_in_flight() -> None:
    value = flow_of("send")
    with trio.fail_after(10):
        async with run_flow(value, TYPES) as flow:
            peer.answers = trio.Event()
            flow.put_soon("in", Message(1))
            flow.end_source("in")
            await flow.wait_state("in", State.STOPPED)
            assert flow.exit is None
            peer.answers.set()
            while flow.exit is None:
                await trio.sleep(0.01)
            assert ends(flow)["confirmed"] == 1


async def test_stopping_drains_and_lets_no_new_message_in() -> None:
    value = flow_of("send")
    with trio.fail_after(10):
        async with run_flow(value, TYPES) as flow:
            await flow.wait_running()
            peer.answers = trio.Event()
            flow.put_soon("in", Message(1))
            while not peer.tried:
                await trio.sleep(0.005)
            flow.runtime.stop()
            await trio.sleep(0.02)
            flow.put_soon("in", Message(2))
            await trio.sleep(0.02)
            assert flow.exit is None
            peer.answers.set()
            await flow.stop()
            assert flow.report()["ledger"]["emitted"] == 1
            assert ends(flow)["confirmed"] == 1


async def test_the_drain_deadline_bounds_a_stop() -> None:
    with trio.fail_after(10):
        async with run_flow(flow_of("send"), TYPES, drain=0.05) as flow:
            await flow.wait_running()
            peer.answers = trio.Event()
            flow.put_soon("in", Message(1))
            while not peer.tried:
                await trio.sleep(0.005)
            await flow.stop()
            assert ends(flow)["in_flight"] == 1

