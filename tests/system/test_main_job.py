"""The main job with peers that are no part of flowbus at its ends, run by the command itself."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyads
import pytest
import trio
from websockets.sync.client import connect

from tests.system import peers

pytestmark = pytest.mark.system

PLC_HOST = "127.0.0.23"  # Beckhoff's library dials port 48898 only: each test has an address


def flow(websocket: int, broker: int) -> dict[str, Any]:
    return {
        "flowbus": 1,
        "name": "main-job",
        "connections": {
            "line": {"type": "ads", "host": PLC_HOST},
            "plant": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker}"},
        },
        "nodes": {
            "plc": {
                "type": "ads-simulator",
                "host": PLC_HOST,
                "symbols": {
                    "MAIN.rSetpoint": {"type": "LREAL"},
                    "MAIN.rManual": {"type": "LREAL"},
                },
            },
            "server": {"type": "websocket-server", "port": websocket},
            "decode": {"type": "json-decode"},
            "route": {"type": "switch", "cases": {"speed": "payload.cmd = 'speed'"}},
            "value": {"type": "map", "payload": "payload.value * 0.5"},
            "drive": {"type": "ads-write", "connection": "line", "symbol": "MAIN.rSetpoint"},
            "manual": {"type": "ads-subscribe", "connection": "line", "symbols": ["MAIN.rManual"]},
            "publish": {"type": "mqtt-out", "connection": "plant", "topic": "plc/{topic}", "qos": 1},
            "subscribe": {"type": "mqtt-in", "connection": "plant", "topics": ["to/#"], "qos": 1,
                          "payload_format": "text"},
            "answer": {"type": "map", "payload": "{'fault': headers.fault.code}",
                       "headers": {"fault": "undefined"}},
        },
        "wires": [
            ["server", "decode"],
            ["decode", "route"],
            ["route.speed", "value"],
            ["value", "drive"],
            ["manual", "publish"],
            ["subscribe", "server"],
            ["*.error", "answer"],
            ["answer", "server"],
        ],
    }  # fmt: skip


async def test_commands_reach_the_plc_and_telemetry_the_broker(tmp_path: Path) -> None:
    broker = peers.mosquitto(tmp_path)
    port = peers.free_port()
    flow_file = tmp_path / "flow.json"
    report_file = tmp_path / "report.json"
    runner = peers.flowbus(flow_file, tmp_path / "state", port)
    runner.command += ["--report", str(report_file)]
    with trio.fail_after(60), peers.ended(runner, broker):
        await broker.start()
        flow_file.write_text(json.dumps(flow(port, broker.port)))
        await runner.start()
        await trio.to_thread.run_sync(talk, port, broker.port)
        runner.signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(runner._process.wait) == 0  # type: ignore[union-attr]
    report = json.loads(report_file.read_text())
    assert report["ledger"]["in_flight"] == 0
    assert report["nodes"]["drive"]["taken"] == 20


def talk(websocket: int, broker: int) -> None:
    """Everything that blocks: pyads, the websockets library, mosquitto's clients."""
    subscriber = subprocess.Popen(
        [
            tool("mosquitto_sub"),
            "-p",
            str(broker),
            "-t",
            "plc/#",
            "-v",
            "-q",
            "1",
            "-C",
            "4",
            "-W",
            "6",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with pyads_plc() as plc, connect(f"ws://127.0.0.1:{websocket}") as cloud:
        wait_for(lambda: read(plc, "MAIN.rSetpoint") == 0.0)
        for number in range(1, 21):
            cloud.send(json.dumps({"cmd": "speed", "value": number * 2}))
        wait_for(lambda: read(plc, "MAIN.rSetpoint") == 20.0)

        cloud.send("{not json")
        assert json.loads(cloud.recv(5)) == {"fault": "core.not_json"}

        for number in (1.5, 2.5, 3.5):
            plc.write_by_name("MAIN.rManual", number, pyads.PLCTYPE_LREAL)
            wait_for(lambda: read(plc, "MAIN.rManual") == number)  # noqa: B023
            sleep_a_cycle()
        lines = subscriber.communicate(timeout=20)[0].splitlines()
        assert lines[-3:] == [
            "plc/MAIN.rManual 1.5",
            "plc/MAIN.rManual 2.5",
            "plc/MAIN.rManual 3.5",
        ]

        for qos in ("0", "1"):
            subprocess.run(
                [
                    tool("mosquitto_pub"),
                    "-p",
                    str(broker),
                    "-t",
                    "to/all",
                    "-m",
                    f"by qos {qos}",
                    "-q",
                    qos,
                ],
                check=True,
                timeout=10,
            )
            assert cloud.recv(5) == f"by qos {qos}"


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip("mosquitto's clients are not installed (apt-get install mosquitto-clients)")
    return found


class pyads_plc:
    """A pyads connection; its port is closed before its route, else the library may crash."""

    def __enter__(self) -> pyads.Connection:
        pyads.open_port()
        pyads.set_local_address("127.0.0.1.1.1")
        self.plc = pyads.Connection(f"{PLC_HOST}.1.1", 851, PLC_HOST)
        self.plc.open()
        return self.plc

    def __exit__(self, *_: object) -> None:
        self.plc.close()


def read(plc: pyads.Connection, symbol: str) -> Any:
    return plc.read_by_name(symbol, pyads.PLCTYPE_LREAL)


def wait_for(condition: Any) -> None:
    import time

    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited 10 s"
        time.sleep(0.02)


def sleep_a_cycle() -> None:
    """Let a PLC cycle pass, so that each value is a change of its own."""
    import time

    time.sleep(0.1)
