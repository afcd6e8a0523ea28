"""Each peer of the main job is killed in turn: who waits, with which code, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome, State
from flowbus.supervisor import RestartPolicy
from flowbus.testing import Flow, run_flow
from tests.system import peers

pytestmark = pytest.mark.system

PLC = {
    "flowbus": 1,
    "name": "plc",
    "nodes": {
        "plc": {
            "type": "ads-simulator",
            "symbols": {
                "MAIN.rSetpoint": {"type": "LREAL"},
                "MAIN.nCount": {"type": "DINT", "behaviour": "counter", "period": 0.05},
            },
        }
    },
    "wires": [],
}


def main_job(websocket: int, plc: int, broker: int) -> dict[str, Any]:
    return {
        "connections": {
            "line": {
                "type": "ads",
                "host": "127.0.0.1",
                "tcp_port": plc,
                "timeout": 1,
                "heartbeat": 0.5,
            },
            "plant": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker}", "keepalive": 2},
        },
        "nodes": {
            "cloud": {"type": "websocket-client", "url": f"ws://127.0.0.1:{websocket}"},
            "decode": {"type": "json-decode"},
            "value": {"type": "map", "payload": "payload.value"},
            "drive": {
                "type": "ads-write",
                "connection": "line",
                "symbol": "MAIN.rSetpoint",
                "ttl": 1,
            },
            "telemetry": {
                "type": "ads-subscribe",
                "connection": "line",
                "symbols": ["MAIN.nCount"],
            },
            "publish": {"type": "mqtt-out", "connection": "plant", "topic": "t/{topic}", "qos": 1},
            "ticks": {"type": "inject", "interval": 0.01, "pattern": "counter"},
            "ticked": {"type": "debug", "active": False},
            "errors": {"type": "test-sink"},
            "statuses": {"type": "test-sink"},
        },
        "wires": [
            ["cloud", "decode"],
            ["decode", "value"],
            {"from": "value", "to": "drive", "when_full": "reject", "capacity": 16},
            {"from": "telemetry", "to": "publish", "when_full": "reject", "capacity": 16},
            ["ticks", "ticked"],
            ["*.error", "errors"],
            ["*.status", "statuses"],
        ],
    }


OUTAGES = {
    "websocket": ({"cloud"}, "ws."),
    "plc": ({"line", "drive", "telemetry"}, "ads."),
    "broker": ({"plant", "publish"}, "mqtt."),
}


def waiting(flow: Flow) -> set[str]:
    report = flow.report()
    found = {**report["nodes"], **report["connections"]}
    return {name for name, told in found.items() if told["state"] == "waiting"}


@pytest.mark.parametrize("which", list(OUTAGES))
async def test_exactly_the_nodes_concerned_wait_and_all_come_back(
    which: str, tmp_path: Path
) -> None:
    flow_file = tmp_path / "plc.json"
    plc_port = peers.free_port()
    PLC["nodes"]["plc"]["port"] = plc_port  # type: ignore[index]
    flow_file.write_text(json.dumps(PLC))
    processes = {
        "websocket": peers.websockets_server("commands"),
        "plc": peers.flowbus(flow_file, tmp_path / "state", plc_port),
        "broker": peers.mosquitto(tmp_path),
    }
    concerned, domain = OUTAGES[which]
    with trio.fail_after(60), peers.ended(*processes.values()):
        for process in processes.values():
            await process.start()
        value = main_job(processes["websocket"].port, plc_port, processes["broker"].port)
        # The delays of the default policy, but for its longest, so that the test stays short.
        async with run_flow(value, policy=RestartPolicy(max_delay=1.0)) as flow:
            await flow.wait_running()
            await until(lambda: flow.report()["nodes"]["drive"]["taken"] > 20)
            flow.got("statuses")

            processes[which].kill()
            with trio.fail_after(2):
                await until(lambda: waiting(flow) == concerned)
                await until(lambda: all(code(flow, name).startswith(domain) for name in concerned))
            ticked = flow.report()["nodes"]["ticked"]["taken"]
            await trio.sleep(2)  # what shares nothing with the lost peer goes on at its pace
            assert flow.report()["nodes"]["ticked"]["taken"] - ticked > 150
            assert waiting(flow) == concerned
            nodes = concerned - {"line", "plant"}
            told = [message.payload for message in flow.got("statuses")]
            for name in nodes:
                assert any(t["node"] == name and t["code"].startswith(domain) for t in told), name
            errors = [message.headers["fault"] for message in flow.got("errors")]
            for fault in errors_of(which, errors):
                assert domain in fault["text"], fault

            await processes[which].start()
            with trio.fail_after(2 + 1.0):  # of the peer's return, and the longest backoff
                await flow.wait_running()
            passed = flow.report()["nodes"]["drive"]["taken"]
            await until(lambda: flow.report()["nodes"]["drive"]["taken"] > passed + 20)
            report = await flow.stop()
        ledger = report["ledger"]
        ends = ("confirmed", "rejected", "expired", "dropped", "in_flight")
        assert ledger["emitted"] == sum(ledger[end] for end in ends)
        assert ledger["in_flight"] == 0


def errors_of(which: str, faults: list[dict[str, str]]) -> list[dict[str, str]]:
    """The faults of the wire to the dead end; what comes from the WebSocket alone has none."""
    wire = {"plc": "value→drive", "broker": "telemetry→publish"}.get(which)
    if wire is None:
        assert not faults
        return []
    full = [fault for fault in faults if fault["code"] == "flowbus.wire_full"]
    assert full
    assert all(fault["text"].startswith(wire) for fault in full)
    return full


def code(flow: Flow, name: str) -> str:
    return flow.status(name).code


async def until(condition: Any) -> None:
    while not condition():
        await trio.sleep(0.02)


async def test_a_command_that_waited_out_the_outage_is_expired_and_never_written() -> None:
    port = peers.free_port()
    plc = {
        "nodes": {
            "plc": {
                "type": "ads-simulator",
                "port": port,
                "symbols": {"MAIN.nSet": {"type": "DINT"}},
            },
            "written": {"type": "test-sink"},
        },
        "wires": [["plc", "written"]],
    }
    line = {
        "connections": {"line": {"type": "ads", "host": "127.0.0.1", "tcp_port": port}},
        "nodes": {
            "commands": {"type": "test-source"},
            "drive": {"type": "ads-write", "connection": "line", "symbol": "MAIN.nSet", "ttl": 0.5},
        },
        "wires": [["commands", "drive"]],
    }
    with trio.fail_after(30):
        async with run_flow(line) as flow:
            async with run_flow(plc) as first:
                await flow.wait_running()
                assert (await flow.put("commands", Message(1))).outcome is Outcome.CONFIRMED
                assert (await first.get("written")).payload == 1
            await flow.wait_state("drive", State.WAITING)

            waited = await flow.put(
                "commands", Message(2)
            )  # returns at its end: the PLC is still away
            assert (waited.outcome, waited.code) == (Outcome.EXPIRED, "flowbus.expired")

            async with run_flow(plc) as second:
                await flow.wait_running()
                assert (await flow.put("commands", Message(3))).outcome is Outcome.CONFIRMED
                assert [message.payload for message in second.got("written")] == [3]
            ledger = flow.report()["ledger"]
            assert (ledger["confirmed"], ledger["expired"], ledger["in_flight"]) == (2, 1, 0)
