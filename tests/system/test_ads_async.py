"""The ADS nodes and a PLC that none of us wrote: the server of the library ads-async."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome, Quality, State
from flowbus.testing import Flow, run_flow
from tests.system import peers

pytest.importorskip("ads_async")
pytestmark = pytest.mark.system

SERVER = Path(__file__).parent / "ads_async_plc.py"
NET_ID = "5.61.0.1.1.1"
ALL = ["MAIN.nCount", "MAIN.rSpeed", "MAIN.bOn", "MAIN.sName", "MAIN.aPos"]
VALUES = {"MAIN.nCount": -5, "MAIN.rSpeed": 2.5, "MAIN.sName": "Fuß", "MAIN.aPos": [1, 2, -3]}


def flow(port: int) -> dict[str, Any]:
    plc = {
        "type": "ads", "host": "127.0.0.1", "tcp_port": port, "net_id": NET_ID, "timeout": 1, "heartbeat": 0.2,
    }  # fmt: skip
    return {
        "connections": {"plc": plc},
        "nodes": {
            "ask": {"type": "test-source"},
            "read": {"type": "ads-read", "connection": "plc", "symbols": [*ALL, "MAIN.none"]},
            "told": {"type": "test-sink"},
            "order": {"type": "test-source"},
            "write": {"type": "ads-write", "connection": "plc", "symbols": ALL, "verify": True},
            "watch": {"type": "ads-subscribe", "connection": "plc", "symbols": ["MAIN.nCount", "MAIN.sName"]},
            "seen": {"type": "test-sink"},
            "state": {"type": "ads-state", "connection": "plc"},
            "states": {"type": "test-sink"},
        },
        "wires": [["ask", "read"], ["read", "told"], ["order", "write"], ["watch", "seen"], ["state", "states"]],
    }  # fmt: skip


async def seen(running: Flow, *samples: tuple[str, Any]) -> None:
    left = set(samples)
    while left:
        message = await running.get("seen")
        left.discard((message.topic, message.payload))


async def test_it_is_read_written_and_watched_and_comes_back() -> None:
    port = peers.free_port()
    plc = peers.Process([sys.executable, str(SERVER), str(port)], port)
    with peers.ended(plc), trio.fail_after(40):
        await plc.start()
        async with run_flow(flow(port)) as running:
            await running.wait_running("read", "write", "watch", "state")
            await seen(running, ("MAIN.nCount", 0), ("MAIN.sName", ""))
            assert (await running.get("states")).payload["state"] == "run"

            assert (await running.put("order", Message(VALUES))).outcome is Outcome.CONFIRMED
            await seen(running, ("MAIN.nCount", -5), ("MAIN.sName", "Fuß"))
            assert (await running.put("ask", Message(None))).outcome is Outcome.CONFIRMED
            answer = await running.get("told")
            assert answer.payload == {**VALUES, "MAIN.bOn": False, "MAIN.none": None}
            assert answer.headers["faults"]["MAIN.none"]["code"] == "ads.0x0710"
            assert answer.quality is Quality.UNCERTAIN

            for wrong in ({"MAIN.nCount": 2**31}, {"MAIN.sName": "x" * 21}, {"MAIN.aPos": [1, 2]}):
                end = await running.put("order", Message(wrong))
                assert (end.outcome, end.code) == (Outcome.REJECTED, "ads.bad_value")

            plc.kill()
            await running.wait_state("watch", State.WAITING)
            await plc.start()
            await running.wait_running("read", "write", "watch", "state")
            await seen(running, ("MAIN.nCount", 0), ("MAIN.sName", ""))
            end = await running.put("order", Message({"MAIN.nCount": 8}))
            assert end.outcome is Outcome.CONFIRMED
            await seen(running, ("MAIN.nCount", 8))
