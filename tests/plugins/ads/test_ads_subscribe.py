"""Subscriptions in a running flow: samples, outages, vanished symbols, drops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import trio
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.server import PlcServer
from flowbus_ads.subscribe import SampleBuffer, _gather
from trio.testing import wait_all_tasks_blocked

from flowbus import Config, Message, NodeIO, Quality, State, io_node
from flowbus.testing import Flow, run_flow

HOST, PORT = "127.0.0.45", 48898


class NoOptions(Config):
    """Nothing to say."""


@io_node("test-stuck", outlets=())
async def stuck(config: NoOptions, io: NodeIO) -> None:
    """Take nothing, so that what precedes it must drop."""
    io.connected()
    await trio.sleep_forever()


class Plant(NamedTuple):
    """A flow that subscribes, and the PLC that it subscribes to."""

    flow: Flow
    plc: SimulatedPlc
    server: PlcServer

    async def get_until(self, topic: str, payload: Any) -> Message:
        while True:
            message = await self.flow.get("out")
            if (message.topic, message.payload) == (topic, payload):
                return message

    def online_change(self) -> None:
        self.server.online_change(self.plc)


@asynccontextmanager
async def subscribed(out: str = "test-sink", **options: Any) -> AsyncIterator[Plant]:
    """Run a flow with `ads-subscribe` to MAIN.nCount (7) and a PLC in this process; at most 20 s."""
    memory = PlcMemory()
    memory.add("MAIN.nCount", "DINT", 7)
    memory.add("MAIN.sText", "STRING(20)", "a")
    plc = SimulatedPlc(parse_net_id(f"{HOST}.1.1"), 851, memory)
    server = PlcServer(plc, cycle=0.002)
    node = {"connection": "plc", "symbols": ["MAIN.nCount"], "cycle_time": 0.002, **options}
    value = {
        "connections": {"plc": {"type": "ads", "host": HOST, "timeout": 0.5, "heartbeat": 0.05}},
        "nodes": {
            "sub": {"type": "ads-subscribe", **node},
            "out": {"type": out},
            "statuses": {"type": "test-sink"},
        },
        "wires": [
            {"from": "sub", "to": "out", "capacity": 1},
            {"from": "sub.status", "to": "statuses"},
        ],
    }
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, HOST, PORT)
            async with run_flow(value, [stuck], drain=0.1) as flow:
                yield Plant(flow, plc, server)
            nursery.cancel_scope.cancel()


async def test_the_present_value_comes_first_then_changes_with_the_plc_s_time() -> None:
    async with subscribed() as plant:
        first = await plant.flow.get("out")
        assert (first.topic, first.payload) == ("MAIN.nCount", 7)
        assert first.time % 100 == 0
        plant.plc.memory.set("MAIN.nCount", 8)
        second = await plant.flow.get("out")
        assert second.payload == 8
        assert second.time > first.time


async def test_it_comes_back_with_the_plc() -> None:
    async with subscribed() as plant:
        await plant.get_until("MAIN.nCount", 7)
        plant.server.drop_clients()
        await plant.flow.wait_code("plc", "ads.connection_lost")
        await plant.flow.wait_running()
        plant.plc.memory.set("MAIN.nCount", 9)
        await plant.get_until("MAIN.nCount", 9)


async def test_it_survives_an_online_change() -> None:
    async with subscribed() as plant:
        await plant.get_until("MAIN.nCount", 7)
        plant.online_change()
        plant.plc.memory.set("MAIN.nCount", 9)
        await plant.get_until("MAIN.nCount", 9)
        assert plant.flow.status("plc").state is State.RUNNING


async def test_a_missing_symbol_degrades_the_node_and_the_others_work() -> None:
    async with subscribed(symbols=["MAIN.nCount", "MAIN.nope"]) as plant:
        await plant.get_until("MAIN.nCount", 7)
        status = await plant.flow.wait_code("sub", "ads.symbols_missing")
        assert status.state is State.DEGRADED
        assert "MAIN.nope" in status.text


async def test_samples_of_some_time_are_one_message() -> None:
    async with subscribed(flush_every=0.2) as plant:
        await plant.flow.wait_running("sub")
        while len(plant.plc.notes) == 0:
            await wait_all_tasks_blocked()
        for number in range(5):
            plant.plc.memory.set("MAIN.nCount", number)
            await trio.sleep(0.01)
        rows: list[Any] = []
        while not rows or rows[-1]["value"] != 4:
            message = await plant.flow.get("out")
            assert message.topic == ""
            rows += message.payload
        assert [row["symbol"] for row in rows] == ["MAIN.nCount"] * len(rows)
        assert [row["value"] for row in rows][-5:] == list(range(5))
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


async def test_what_was_gathered_when_it_is_cancelled_is_not_lost() -> None:
    buffer = SampleBuffer(10, "drop-oldest")
    buffer.put("a", 1, 1)
    buffer.put("b", 2, 2)
    with trio.move_on_after(0.05):
        await _gather(buffer, 60)
    assert [name for name, _, _ in buffer.drain()] == ["a", "b"]


async def test_a_lost_plc_is_told_by_the_quality() -> None:
    async with subscribed(emit_quality_loss=True) as plant:
        first = await plant.flow.get("out")
        assert (first.payload, first.quality) == (7, Quality.GOOD)
        for _ in range(2):
            plant.server.drop_clients()
            lost = await plant.flow.get("out")
            assert (lost.topic, lost.payload, lost.quality) == ("MAIN.nCount", 7, Quality.BAD)
            back = await plant.flow.get("out")
            assert (back.payload, back.quality) == (7, Quality.GOOD)
        await plant.flow.wait_running("plc", "sub")


async def test_a_symbol_that_vanishes_is_told_by_the_quality_and_comes_back() -> None:
    async with subscribed(
        symbols=["MAIN.nCount", "MAIN.sText"], emit_quality_loss=True
    ) as plant:
        await plant.get_until("MAIN.sText", "a")
        plant.plc.memory.remove("MAIN.sText")
        plant.online_change()
        while (message := await plant.flow.get("out")).quality is not Quality.BAD:
            pass
        assert (message.topic, message.payload) == ("MAIN.sText", "a")
        assert "MAIN.sText" in (await plant.flow.wait_code("sub", "ads.symbols_missing")).text
        plant.plc.memory.add("MAIN.sText", "STRING(20)", "b")
        assert (await plant.get_until("MAIN.sText", "b")).quality is Quality.GOOD
        await plant.flow.wait_running("sub")


@pytest.mark.parametrize(("when_full", "kept"), [("drop-oldest", [3, 4]), ("drop-newest", [0, 1])])
async def test_a_full_buffer_drops_and_counts(when_full: str, kept: list[int]) -> None:
    buffer = SampleBuffer(2, when_full)
    for value in range(5):
        buffer.put("MAIN.n", 0, value)
    assert [(await buffer.take())[2] for _ in range(2)] == kept
    assert (buffer.received, buffer.dropped) == (5, 3)


async def test_drops_show_in_the_status() -> None:
    async with subscribed(out="test-stuck", mode="cyclic", buffer=5) as plant:
        status = await plant.flow.wait_code("sub", "ads.samples_dropped")
        assert status.state is State.DEGRADED


async def test_old_drops_are_no_new_ones_after_a_restart() -> None:
    async with subscribed(buffer=1, max_delay=0.05) as plant:
        await plant.get_until("MAIN.nCount", 7)
        for number in range(100, 120):  # several in one frame, and room for one
            plant.plc.memory.set("MAIN.nCount", number)
            await trio.sleep(0.004)
        await plant.flow.wait_code("sub", "ads.samples_dropped")
        plant.flow.got("statuses")
        plant.server.drop_clients()
        await plant.flow.wait_code("plc", "ads.connection_lost")
        codes = []
        while (status := (await plant.flow.get("statuses")).payload)["state"] != "running":
            codes.append(status["code"])
        assert "ads.connection_lost" in codes
        assert "ads.samples_dropped" not in codes[codes.index("ads.connection_lost") :]
        assert "samples dropped since the start" in status["text"]
