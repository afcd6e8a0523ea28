"""``flowbus ads tree`` against a simulated system, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow

HOST, NET_ID = "127.0.0.63", "5.63.0.1.1.1"
IO = [
    {"terminals": ["EK1100", "EL1008", "EL3064"]},
    {"name": "Sensors", "id": 7, "terminals": ["EK1100", {"type": "EL3202", "serial": 9}]},
]


@asynccontextmanager
async def system(io: Any = IO) -> AsyncIterator[Flow]:
    plc = {"type": "ads-simulator", "host": HOST, "net_id": NET_ID, "io": io}
    nodes = {"plc": plc, "do": {"type": "test-source"}}
    with trio.fail_after(60):
        async with run_flow({"nodes": nodes, "wires": [["do", "plc"]]}) as flow:
            await flow.wait_running("plc")
            yield flow


async def tree(*arguments: str, code: int = 0) -> str:
    """Run ``flowbus ads tree`` and return what it prints: on stdout, or on stderr where it fails."""
    command = [sys.executable, "-m", "flowbus.cli", "ads", "tree", HOST, *arguments]

    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, capture_output=True, timeout=20, check=False)

    done = await trio.to_thread.run_sync(run, abandon_on_cancel=True)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return (done.stderr if code else done.stdout).decode()


async def test_the_tree_for_people() -> None:
    async with system() as flow:
        gone = {"device": 1, "terminal": 1003, "link": 1, "state": "INIT"}
        end = await flow.put("do", Message(gone, headers={"command": "io-terminal"}))
        assert end.outcome is Outcome.CONFIRMED
        lines = (await tree()).splitlines()
    assert lines[0] == f"I/O Server 3.1.4024, {NET_ID}, 2 devices"
    assert lines[2] == "1 Device 1 (EtherCAT), EtherCAT, 5.63.0.1.2.1, OP, 3 terminals"
    assert lines[3].startswith("  frames: ")
    assert lines[4] == "  identity: vendor 2, product 65536, revision 196609, serial 1"
    heads = "ADDRESS TYPE NAME STATE LINK CRC A/B/C/D PRODUCT REVISION SERIAL"
    assert lines[5].split() == heads.split()
    assert lines[7].split() == ["1002", "EL1008", "Term", "2", "(EL1008)", "OP", "ok", "0/0/0/0", "0x03F03052", "0x00100000", "0"]
    assert lines[8].split()[5:9] == ["INIT", "not", "present", "-"]
    assert lines[9].startswith("  ads.0x0719: CRC errors of terminal 1003: ")
    assert lines[11] == "7 Sensors, EtherCAT, 5.63.0.1.8.1, OP, 2 terminals"


async def test_the_tree_as_json_and_parts_of_it() -> None:
    async with system():
        whole = json.loads(await tree("--json"))
        assert whole["server"]["device_count"] == 2
        assert [len(device["terminals"]) for device in whole["devices"]] == [3, 2]
        assert json.loads(await tree("--json", "--device", "Sensors"))["id"] == 7
        one = json.loads(await tree("--json", "--device", "7", "--terminal", "1002"))
        assert (one["device"], one["identity"]["serial"]) == (7, 9)
        assert (await tree("--device", "7")).startswith("7 Sensors, EtherCAT")
        rows = (await tree("--terminal", "Term 3 (EL3064)")).splitlines()
        assert [row.split()[0] for row in rows] == ["ADDRESS", "1003"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--device", "9"], "the I/O server has no device 9; there are 1 (Device 1 (EtherCAT)), 7 (Sensors)"),
        (["--device", "7", "--terminal", "1003"], "device 7 has no terminal at address 1003"),
        (["--terminal", "1002"], "several terminals 1002 (in device 1, 7): name the device"),
        (["--port", "301"], "ads.0x0006: "),
    ],
)
async def test_what_is_not_there_is_said(arguments: list[str], text: str) -> None:
    async with system():
        assert text in await tree(*arguments, code=69)


async def test_a_plc_without_an_io_server() -> None:
    async with system(io=[]):
        assert "ads.0x0006: " in await tree(code=69)
