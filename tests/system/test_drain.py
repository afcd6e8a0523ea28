"""SIGTERM with a request in flight: the reply still reaches its WebSocket, then all ends with 0."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.system import peers

pytestmark = pytest.mark.system


def flow(websocket: int, plc: int) -> dict[str, object]:
    """A client's message reads a PLC value; the PLC takes half a second to answer."""
    return {
        "flowbus": 1,
        "name": "drain",
        "connections": {"plc": {"type": "ads", "host": "127.0.0.1", "tcp_port": plc, "timeout": 5}},
        "nodes": {
            "server": {"type": "websocket-server", "port": websocket},
            "read": {"type": "ads-read", "connection": "plc", "symbol": "MAIN.n"},
            "simulator": {
                "type": "ads-simulator",
                "port": plc,
                "symbols": {"MAIN.n": {"type": "INT", "value": 42}},
            },
            "slow": {
                "type": "inject",
                "delay": 0.5,
                "payload": 0.5,
                "headers": {"command": "slow"},
            },
        },
        "wires": [["server", "read"], ["read", "server"], ["slow", "simulator"]],
    }


async def test_a_reply_in_flight_reaches_its_client(tmp_path: Path) -> None:
    websocket, plc = peers.free_port(), peers.free_port()
    flow_file, report_file = tmp_path / "flow.json", tmp_path / "report.json"
    flow_file.write_text(json.dumps(flow(websocket, plc)))
    runner = peers.flowbus(flow_file, tmp_path / "state", websocket)
    runner.command += ["--report", str(report_file)]
    with trio.fail_after(30), peers.ended(runner):
        await runner.start()
        await trio.sleep(1)  # the simulated PLC is slow from here on
        await trio.to_thread.run_sync(ask_and_stop, websocket, runner)
        assert await trio.to_thread.run_sync(runner._process.wait) == 0  # type: ignore[union-attr]
    ledger = json.loads(report_file.read_text())["ledger"]
    assert ledger["in_flight"] == 0
    assert ledger["sources"]["server"]["confirmed"] == 1


def ask_and_stop(websocket: int, runner: peers.Process) -> None:
    with connect(f"ws://127.0.0.1:{websocket}") as client:
        client.send("how much?")
        with pytest.raises(TimeoutError):
            client.recv(0.2)  # it is in flight
        runner.signal(signal.SIGTERM)
        assert json.loads(client.recv(5)) == 42
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
