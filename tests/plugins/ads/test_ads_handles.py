"""Handles are released, and what a PLC is asked for once is not asked for again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import AmsLink
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.plc.typedefs import MethodOptions, Program, TypeOptions
from flowbus_ads.server import PlcServer
from flowbus_ads.subscriptions import Terms

from flowbus import Message, Outcome
from flowbus.testing import run_flow
from tests.plugins.ads.waiting import until

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]
NET_ID = "5.1.2.3.1.1"
NAMES = [f"GVL.n{index}" for index in range(600)]


@pytest.fixture
def memory(memory: PlcMemory) -> PlcMemory:
    """The usual symbols, and a function block with a method."""
    block = TypeOptions(members={"n": "INT"}, methods={"Go": MethodOptions()})
    memory.program = Program({"FB": block})
    memory.add("MAIN.fb", "FB")
    return memory


@pytest.mark.parametrize("sums", [True, False], ids=["by sum", "one by one"])
async def test_the_handles_of_names_and_methods_are_released_at_the_end(
    connect: Connect, plc: SimulatedPlc, sums: bool
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            plc.sums_enabled = sums
            await client.read_many(NAMES if sums else NAMES[:5])
            await (await client.prepare_call("MAIN.fb", "Go", {})).send()
            assert len(plc.handles) == (601 if sums else 6)
            await client.close()
            assert len(plc.handles) == 0


async def test_online_changes_leave_no_handles_behind(
    connect: Connect, server: PlcServer, plc: SimulatedPlc
) -> None:
    with trio.fail_after(20):
        async with (
            connect(heartbeat=0.02) as (_, client),
            client.subscribe(NAMES[:100], lambda *sample: None, Terms()),
        ):
            await (await client.prepare_call("MAIN.fb", "Go", {})).send()
            for _ in range(10):
                before = client.renewals
                server.online_change(plc)
                await until(lambda before=before: client.renewals > before)
            await until(lambda: len(plc.handles) == 100)
            assert len(plc.notes) == 100


async def test_a_missing_symbol_does_not_have_the_others_asked_for_again(
    connect: Connect, plc: SimulatedPlc
) -> None:
    seen: list[str] = []
    with trio.fail_after(10):
        async with (
            connect(heartbeat=0.005) as (_, client),
            client.subscribe(
                ["MAIN.nCount", "MAIN.nLate"], lambda name, *_: seen.append(name), Terms()
            ) as subscription,
        ):
            await until(lambda: plc.requests > 60)  # several looks for what is missing
            assert list(subscription.missing) == ["MAIN.nLate"]
            plc.memory.add("MAIN.nLate", "INT", 5)
            await until(lambda: "MAIN.nLate" in seen)
            assert seen == ["MAIN.nCount", "MAIN.nLate"]
            assert (client.renewals, len(plc.handles), len(plc.notes)) == (0, 2, 2)


async def test_a_flow_that_stops_leaves_no_handle_and_no_notification_behind(
    server: PlcServer, plc: SimulatedPlc
) -> None:
    flow = {
        "connections": {"plc": {"type": "ads", "host": "127.0.0.1", "tcp_port": server.port, "net_id": NET_ID}},
        "nodes": {
            "ask": {"type": "test-source"},
            "read": {"type": "ads-read", "connection": "plc", "symbols": NAMES},
            "watch": {"type": "ads-subscribe", "connection": "plc", "symbols": NAMES[:100]},
            "call": {"type": "ads-rpc", "connection": "plc", "symbol": "MAIN.fb", "method": "Go"},
            "out": {"type": "test-sink"},
        },
        "wires": [["ask", "read"], ["ask", "call"], ["read", "out"], ["watch", "out"]],
    }  # fmt: skip
    with trio.fail_after(20):
        async with run_flow(flow) as running:
            await running.wait_running("read", "watch", "call")
            assert (await running.put("ask", Message({}))).outcome is Outcome.CONFIRMED
            assert (len(plc.handles), len(plc.notes)) == (601, 100)
            await running.stop()
            assert (len(plc.handles), len(plc.notes)) == (0, 0)
