"""The driver ``pyads``: the same nodes through Beckhoff's own library, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from flowbus_ads.driver.parent import open_pyads_link
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.address import ams_address, parse_net_id
from flowbus_ads.protocol.constants import PORT, Command
from flowbus_ads.server import PlcServer
from flowbus_ads.target import Target

from flowbus import Lost, Message, Outcome, Quality, State, plugins
from flowbus.check import check_file
from flowbus.testing import Flow, run_flow

pytest.importorskip("pyads")
WORKERS = 8
"""Threads of the driver."""
pytestmark = pytest.mark.system

HOST, NET_ID = "127.0.0.48", "5.48.0.1.1.1"
PLC = {
    "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "cycle": 0.005,
    "types": {"ST": {"members": {"a": "INT", "b": "LREAL"}}},
    "symbols": {
        "MAIN.n": {"type": "DINT", "value": 7},
        "MAIN.s": {"type": "STRING(20)", "value": "hällo"},
        "MAIN.st": {"type": "ST", "value": {"a": 1, "b": 2.5}},
    },
}  # fmt: skip
FLOW: dict[str, Any] = {
    "connections": {
        "c": {
            "type": "ads", "host": HOST, "net_id": NET_ID, "driver": "pyads", "timeout": 1.0,
            "heartbeat": 0.2,
        }
    },
    "nodes": {
        "do": {"type": "test-source"},
        "plc": PLC,
        "written": {"type": "test-sink"},
        "in": {"type": "test-source"},
        "write": {"type": "ads-write", "connection": "c", "symbols": ["MAIN.n", "MAIN.s", "MAIN.st"]},
        "ask": {"type": "test-source"},
        "read": {"type": "ads-read", "connection": "c", "symbols": ["MAIN.n", "MAIN.s", "MAIN.st"]},
        "got": {"type": "test-sink"},
        "sub": {
            "type": "ads-subscribe", "connection": "c", "symbols": ["MAIN.n", "MAIN.st"],
            "cycle_time": 0.01,
        },
        "seen": {"type": "test-sink"},
    },
    "wires": [
        ["do", "plc"], ["plc", "written"], ["in", "write"], ["ask", "read"], ["read", "got"],
        ["sub", "seen"],
    ],
}  # fmt: skip


@asynccontextmanager
async def running() -> AsyncIterator[Flow]:
    with trio.fail_after(50):
        async with run_flow(FLOW) as flow:
            await flow.wait_running("c", "write", "read", "sub")
            yield flow


async def until(flow: Flow, topic: str, value: Any) -> None:
    while True:
        message = await flow.get("seen")
        if (message.topic, message.payload) == (topic, value):
            return


async def test_the_same_nodes_read_write_and_subscribe() -> None:
    async with running() as flow:
        await until(flow, "MAIN.n", 7)
        end = await flow.put("in", Message({"MAIN.n": -5, "MAIN.s": "zwei", "MAIN.st": {"b": 3}}))
        assert end.outcome is Outcome.CONFIRMED
        await until(flow, "MAIN.st", {"a": 1, "b": 3.0})
        assert (await flow.put("ask", Message(None))).outcome is Outcome.CONFIRMED
        got = await flow.get("got")
        assert got.payload == {"MAIN.n": -5, "MAIN.s": "zwei", "MAIN.st": {"a": 1, "b": 3.0}}
        assert got.quality is Quality.GOOD
        refused = await flow.put("in", Message({"MAIN.n": 2**40}))
        assert (refused.outcome, refused.code) == (Outcome.REJECTED, "ads.bad_value")


def child() -> int:
    """Return the process of the driver: the only child of this one that runs it."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"flowbus_ads.driver.child" in words and parent == os.getpid():
            return int(folder.name)
    raise AssertionError("the driver has no process")


async def test_a_process_that_dies_is_started_again() -> None:
    async with running() as flow:
        await until(flow, "MAIN.n", 7)
        first = child()
        os.kill(first, signal.SIGSEGV)
        await flow.wait_state("write", State.WAITING)
        flow.put_soon("in", Message({"MAIN.n": 8}))  # waits for the new one
        await until(flow, "MAIN.n", 8)
        assert child() != first
        await flow.wait_running("c", "write", "read", "sub")


async def test_a_plc_that_is_cut_off_comes_back_and_nothing_is_written_twice() -> None:
    async with running() as flow:
        await until(flow, "MAIN.n", 7)
        await flow.put("do", Message(None, headers={"command": "drop"}))
        await flow.wait_state("sub", State.WAITING)
        flow.put_soon("in", Message({"MAIN.n": 9}))
        await until(flow, "MAIN.n", 9)
        await flow.wait_settled()
        writes = []
        with trio.move_on_after(0.2):
            while True:
                writes.append((await flow.get("written")).payload)
        assert writes == [9]


async def test_a_write_that_has_waited_too_long_is_not_done() -> None:
    memory = PlcMemory()
    place = memory.add("MAIN.n", "DINT")
    plc = SimulatedPlc(parse_net_id(NET_ID), 851, memory)
    server = PlcServer(plc)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, HOST, PORT)
            async with open_pyads_link(HOST, timeout=1.0) as link:
                address = ams_address(parse_net_id(NET_ID), 851)
                target = Target(link, address, ams_address(link.net_id, 1), 1.0)
                await target.read(place.group, place.offset, 4)
                server.switches.mute = True

                async def lost(ask: Callable[[], Awaitable[Any]]) -> None:
                    with pytest.raises(Lost):
                        await ask()

                async with trio.open_nursery() as asking:
                    for _ in range(2):  # every thread waits for an answer that will not come, twice
                        for _ in range(WORKERS):
                            asking.start_soon(lost, partial(target.request, Command.READ_STATE, b"", "state"))
                        await trio.sleep(0.4)
                    write = partial(target.write, place.group, place.offset, b"\5\0\0\0", "write")
                    asking.start_soon(lost, write)
                    await trio.sleep(0.6)
                    server.switches.mute = False
                await target.read(place.group, place.offset, 4)  # the threads are free again
                assert plc.write_requests == 0
            nursery.cancel_scope.cancel()


async def test_the_terminals_behind_a_plc() -> None:
    """The masters have NetIds of their own, to which AdsLib needs a route each."""
    io = [{"terminals": ["EK1100", "EL1008"]}, {"name": "Sensors", "terminals": ["EK1100", "EL3202"]}]
    nodes = {
        "plc": {"type": "ads-simulator", "host": HOST, "net_id": NET_ID, "io": io},
        "ask": {"type": "test-source"},
        "tree": {"type": "ads-io-tree", "connection": "c"},
        "got": {"type": "test-sink"},
    }
    flow = {"connections": FLOW["connections"], "nodes": nodes, "wires": [["ask", "tree"], ["tree", "got"]]}
    with trio.fail_after(40):
        async with run_flow(flow) as running:
            assert (await running.put("ask", Message(None))).outcome is Outcome.CONFIRMED
            devices = (await running.get("got")).payload["devices"]
            types = [[terminal["type"] for terminal in device["terminals"]] for device in devices]
            assert types == [["EK1100", "EL1008"], ["EK1100", "EL3202"]]


def test_it_reaches_the_standard_port_only(tmp_path: Path) -> None:
    connection = {"type": "ads", "host": HOST, "tcp_port": 1234, "driver": "pyads"}
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"flowbus": 1, "name": "x", "connections": {"c": connection}, "nodes": {}}))
    problems = [str(problem) for problem in check_file(file, plugins.installed()).problems]
    assert any("connections.c.tcp_port: the driver pyads reaches 48898 only" in p for p in problems)
