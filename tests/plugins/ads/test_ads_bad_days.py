"""Every fault switch of the simulated PLC, through reading, writing and subscribing nodes at once.

Reads are repeated until they are answered; a write is done once or, where that cannot be known, ends
as unconfirmed; the subscription is back afterwards; nothing else of the flow is harmed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from flowbus import Config, ConfigError, Message, NodeIO, Outcome, io_node
from flowbus.testing import Flow, run_flow

HOST = "127.0.0.47"


class Switch(NamedTuple):
    """A fault: how it is switched on and off again, and what it may be called while it lasts."""

    command: str
    payload: Any = None
    off: tuple[str, Any] | None = None
    codes: tuple[str, ...] = ()


SWITCHES = [
    Switch("mute", True, ("mute", False), ("ads.mute", "ads.timeout")),
    Switch("drop", codes=("ads.connection_lost", "ads.closed_at_once")),
    Switch("garbage", 1, codes=("ads.bad_frame",)),
    Switch("oversize", 1, codes=("ads.bad_frame",)),
    Switch("truncate", 1, codes=("ads.connection_lost", "ads.closed_at_once")),
    Switch("wrong-invoke-id", 3, codes=("ads.timeout", "ads.mute")),
    Switch("late", 0.5, codes=("ads.timeout", "ads.mute")),
    Switch("slow", 0.5, ("slow", 0), ("ads.timeout", "ads.mute")),
    Switch("online-change"),
    Switch("symbol-version"),
    Switch("online-change-count"),
    Switch("null-samples"),
    Switch("no-sums", True, ("no-sums", False)),
    Switch("state", "config", ("state", "run"), ("ads.not_running",)),
    Switch("burst", 1000),
]

NODES: dict[str, Any] = {
    "sim": {
        "type": "ads-simulator", "host": HOST, "cycle": 0.002,
        "symbols": {"MAIN.n": {"type": "DINT", "value": 1}, "MAIN.in": {"type": "DINT"}, "MAIN.m": {"type": "DINT"}},
    },
    "do": {"type": "test-source"},
    "written": {"type": "test-sink"},
    "ask": {"type": "test-source"},
    "read": {"type": "ads-read", "connection": "plc", "symbols": ["MAIN.n", "MAIN.m"]},
    "values": {"type": "test-sink"},
    "order": {"type": "test-source"},
    "write": {"type": "ads-write", "connection": "plc", "symbol": "MAIN.in"},
    "sub": {
        "type": "ads-subscribe", "connection": "plc", "symbols": ["MAIN.n", "MAIN.m"], "cycle_time": 0.002,
    },
    "changes": {"type": "test-sink"},
}  # fmt: skip
FLOW: dict[str, Any] = {
    "connections": {"plc": {"type": "ads", "host": HOST, "timeout": 0.3, "heartbeat": 0.1}},
    "nodes": NODES,
    "wires": [
        ["do", "sim"], ["sim", "written"], ["ask", "read"], ["read", "values"], ["order", "write"],
        ["sub", "changes"],
    ],
}  # fmt: skip


async def command(flow: Flow, name: str, payload: Any) -> None:
    end = await flow.put("do", Message(payload, headers={"command": name}))
    assert end.outcome is Outcome.CONFIRMED, end


async def changed_to(flow: Flow, value: int) -> None:
    while (await flow.get("changes")).payload != value:
        pass


async def felt(flow: Flow, switch: Switch) -> None:
    """Wait until the connection says that something is wrong."""
    async with trio.open_nursery() as nursery:

        async def one(code: str) -> None:
            await flow.wait_code("plc", code)
            nursery.cancel_scope.cancel()

        for code in switch.codes:
            nursery.start_soon(one, code)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: switch.command)
async def test_a_bad_day_of_a_plc(switch: Switch) -> None:
    ends: dict[str, Any] = {}

    async def put(flow: Flow, name: str, message: Message) -> None:
        ends[name] = await flow.put(name, message)

    with trio.fail_after(30):
        async with run_flow(FLOW) as flow:
            await flow.wait_running("plc", "read", "write", "sub")
            await changed_to(flow, 1)
            await command(flow, switch.command, switch.payload)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(put, flow, "ask", Message(None))
                nursery.start_soon(put, flow, "order", Message(5))
                if switch.off is not None:
                    if switch.codes:  # it is felt
                        await felt(flow, switch)
                    await command(flow, *switch.off)
            # The read was repeated until it was answered.
            assert ends["ask"].outcome is Outcome.CONFIRMED
            assert (await flow.get("values")).payload == {"MAIN.n": 1, "MAIN.m": 0}
            # The write was done once, or nobody knows and it is not repeated.
            await flow.wait_running("plc", "read", "write", "sub")
            done = flow.got("written")
            assert [message.payload for message in done] in ([5], [])
            if ends["order"].outcome is Outcome.CONFIRMED:
                assert len(done) == 1
            else:
                assert ends["order"].code == "flowbus.unconfirmed"
            # The subscription is back, and the link too.
            assert (await flow.put("do", Message(77, "MAIN.n"))).outcome is Outcome.CONFIRMED
            await changed_to(flow, 77)
            assert (await flow.put("order", Message(6))).outcome is Outcome.CONFIRMED
            nodes = flow.report()["nodes"]
            told = {code for node in nodes.values() for code in node["faults"]}
            allowed = {*switch.codes, "flowbus.unconfirmed"}
            assert told <= allowed, told
            assert nodes["sim"]["restarts"] == 0


async def test_bad_days_leave_nothing_behind() -> None:
    """As many tasks, file descriptors and notifications after many faults as before them."""

    def held(flow: Flow) -> tuple[int, int, int]:
        tasks = trio.lowlevel.current_statistics().tasks_living
        details = flow.runtime.status()["nodes"]["sim"]["details"]
        return tasks, len(list(Path("/proc/self/fd").iterdir())), details["notifications"]

    async def works(flow: Flow, value: int) -> None:
        await flow.wait_running("plc", "read", "write", "sub")
        assert (await flow.put("do", Message(value, "MAIN.n"))).outcome is Outcome.CONFIRMED
        await changed_to(flow, value)
        assert (await flow.put("ask", Message(None))).outcome is Outcome.CONFIRMED
        await flow.wait_settled()

    with trio.fail_after(60):
        async with run_flow(FLOW) as flow:
            await works(flow, 2)
            before = held(flow)
            for turn in range(2):
                for number, switch in enumerate(SWITCHES):
                    await command(flow, switch.command, switch.payload)
                    if switch.off is not None:
                        if switch.codes:
                            await felt(flow, switch)
                        await command(flow, *switch.off)
                    await works(flow, 100 * turn + number)
            assert held(flow) == before


class NoOptions(Config):
    """Nothing to say."""


@pytest.mark.parametrize("buffer", [10_000, 500_000])
async def test_a_burst_of_400_000_samples_is_delivered_or_counted(buffer: int) -> None:
    got = 0
    last = None

    @io_node("test-count", outlets=())
    async def count(config: NoOptions, io: NodeIO) -> None:
        """Count what arrives: a channel for each would be the slowest part."""

        async def take(message: Message) -> None:
            nonlocal got, last
            got, last = got + 1, message.payload

        await io.each(take)

    sub = {**NODES["sub"], "symbols": ["MAIN.n"], "buffer": buffer}
    patient = {"plc": {"type": "ads", "host": HOST, "timeout": 20}}  # all of it is one process here
    nodes = {**NODES, "sub": sub, "changes": {"type": "test-count"}}
    value = {"connections": patient, "nodes": nodes, "wires": FLOW["wires"]}
    with trio.fail_after(100):
        async with run_flow(value, types=[count]) as flow:
            await flow.wait_running("plc", "read", "write", "sub")
            while not got:
                await trio.sleep(0.01)
            for _ in range(100):
                await command(flow, "burst", 4000)
            while True:
                details = {name: node.get("details") for name, node in flow.runtime.status()["nodes"].items()}
                if got + details["sub"]["dropped"] >= 400_001:
                    break
                await trio.sleep(0.01)
            assert details["sim"]["dropped_notifications"] == 0
            assert details["sub"]["received"] == 400_001  # with the first value
            assert got + details["sub"]["dropped"] == 400_001
            assert buffer < 400_000 or not details["sub"]["dropped"]
            assert (await flow.put("do", Message(78, "MAIN.n"))).outcome is Outcome.CONFIRMED
            while last != 78:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("response", "want"),
    [
        ({"command": "read", "data": "2a00"}, ("confirmed", 42)),
        ({"command": "read", "error": 0x703}, ("rejected", "ads.0x0703")),
        ({"command": "read", "error": 0x70703}, ("rejected", "ads.0x70703")),
        ({"command": "write", "error": 0x704}, ("rejected", "ads.0x0704")),
        ({"command": "write", "error": 0}, ("confirmed", 0)),
    ],
)
async def test_an_answer_that_is_set(response: dict[str, Any], want: tuple[str, Any]) -> None:
    address = {"group": 0x4020, "offset": 4, "type": "INT"}
    sim = {"type": "ads-simulator", "host": HOST, "responses": [{"group": 0x4020, "offset": 4, **response}]}
    nodes = {
        "sim": sim,
        "ask": {"type": "test-source"}, "order": {"type": "test-source"}, "values": {"type": "test-sink"},
        "read": {"type": "ads-read", "connection": "plc", "symbol": address},
        "write": {"type": "ads-write", "connection": "plc", "symbol": address},
    }  # fmt: skip
    wires = [["ask", "read"], ["read", "values"], ["order", "write"]]
    with trio.fail_after(20):
        async with run_flow({**FLOW, "nodes": nodes, "wires": wires}) as flow:
            asked = "ask" if response["command"] == "read" else "order"
            end = await flow.put(asked, Message(7))
            assert end.outcome.name.lower() == want[0]
            if want[0] == "rejected":
                assert end.code == want[1]
            else:  # a write that is answered so changes nothing
                assert (await flow.put("ask", Message(None))).outcome is Outcome.CONFIRMED
                assert (await flow.get("values")).payload == want[1]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"command": "read"}, "give one of data and error"),
        ({"command": "write", "data": "00"}, "a write is answered by a return code"),
        ({"command": "read", "data": "0g"}, "hex digits"),
    ],
)
async def test_an_answer_that_cannot_be_is_refused(response: dict[str, Any], text: str) -> None:
    sim = {"type": "ads-simulator", "host": HOST, "responses": [{"group": 1, **response}]}
    with pytest.raises(ConfigError, match=text):
        async with run_flow({"nodes": {"sim": sim}, "wires": []}):
            pass
