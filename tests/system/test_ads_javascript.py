"""ADS clients of Node.js against the simulated PLC: ads-client with symbols, types and methods; node-ads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus.testing import Flow, run_flow

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowbus-tests"
NODE = shutil.which("node")
SCRIPTS = Path(__file__).parent / "javascript"

pytestmark = pytest.mark.system

HOST, NET_ID = "127.0.0.44", "5.44.0.1.1.1"
AXIS = {
    "bOn": "BOOL", "rSpeed": "T_Speed", "eMode": "E_Mode", "sName": "STRING(10)",
    "wName": "WSTRING(5)", "aPos": "ARRAY [-1..1, 1..2] OF INT", "stIn": "ST_Inner",
}  # fmt: skip
TYPES = {
    "E_Mode": {"enum": {"Idle": 0, "Run": 1, "Fault": -1}},
    "T_Speed": {"alias": "LREAL"},
    "ST_Inner": {"members": {"nId": "BYTE", "tCycle": "TIME"}, "pack": 1},
    "ST_Axis": {"members": AXIS, "attributes": {"OPC.UA.DA": "1"}},
    "ST_Packed": {"members": {"a": "BYTE", "b": "LREAL", "c": "BYTE", "d": "INT"}, "pack": 2},
    "FB_Add": {
        "members": {"nCalls": "UDINT"},
        "methods": {
            "Add": {
                "parameters": {"a": "INT", "b": "INT"}, "outputs": {"c": "REAL"},
                "returns": "DINT", "result": 42, "gives": {"c": 1.5},
            }
        },
    },
}  # fmt: skip
SYMBOLS: dict[str, Any] = {
    "MAIN.stAxis": {"type": "ST_Axis"},
    "MAIN.aAxes": {"type": "ARRAY [1..3] OF ST_Axis"},
    "MAIN.stPacked": {"type": "ST_Packed", "value": {"a": 1, "b": -0.5, "c": 3, "d": -4}},
    "MAIN.fbAdd": {"type": "FB_Add"},
    "MAIN.nCount": {"type": "DINT", "value": 7, "attributes": {"unit": "pcs"}},
}
ZERO = {
    "bOn": False, "rSpeed": 0, "eMode": {"name": "Idle", "value": 0}, "sName": "", "wName": "",
    "aPos": [[0, 0]] * 3, "stIn": {"nId": 0, "tCycle": 0},
}  # fmt: skip
WRITTEN = {
    "bOn": True, "rSpeed": 2.5, "eMode": {"name": "Run", "value": 1}, "sName": "Füße",
    "wName": "Ωx", "aPos": [[1, 2], [3, 4], [5, 6]], "stIn": {"nId": 9, "tCycle": 1000},
}  # fmt: skip


def use(node: str, script: str, modules: Path) -> dict[str, Any]:
    """Run the script; return what it tells, by step."""
    environ = {**os.environ, "NODE_PATH": str(modules)}
    command = [node, str(SCRIPTS / script), NET_ID, HOST]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=30, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {line["step"]: line["value"] for line in lines}
    assert "error" not in told, told["error"]
    return told


@asynccontextmanager
async def told_by(script: str, folder: str, package: str) -> AsyncIterator[tuple[Flow, dict[str, Any]]]:
    """Let a script use a simulated PLC; yield the flow, whose node `out` has what was written, and what it told."""
    modules = CACHE / folder / "node_modules"
    if NODE is None or not (modules / package).is_dir():
        pytest.skip(f"needs Node.js and its package {package}: sh tests/install_peers.sh")
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "types": TYPES,
        "symbols": SYMBOLS, "cycle": 0.002,
    }  # fmt: skip
    flow = {"nodes": {"plc": plc, "out": {"type": "test-sink"}}, "wires": [["plc", "out"]]}
    with trio.fail_after(40):
        async with run_flow(flow) as running:
            await running.wait_running("plc")
            told = await trio.to_thread.run_sync(use, NODE, script, modules, abandon_on_cancel=True)
            yield running, told


async def test_it_reads_writes_calls_and_subscribes_by_what_the_plc_tells_of_itself() -> None:
    async with told_by("ads.js", "ads", "ads-client") as (running, told):
        assert "warning" not in told
        assert (told["first"], told["written"]) == (ZERO, WRITTEN)
        assert told["member"] == 7
        assert told["element"] == {"name": "Fault", "value": -1}
        assert told["packed"] == SYMBOLS["MAIN.stPacked"]["value"]
        own = "twincat_systeminfovarlist._appinfo.onlinechangecnt"
        assert sorted(told["symbols"]) == sorted([*map(str.lower, SYMBOLS), own])
        assert told["attributes"] == [
            [{"name": "unit", "value": "pcs"}],
            [{"name": "OPC.UA.DA", "value": "1"}],
        ]
        assert told["enum"] == ["Idle", "Run", "Fault"]
        assert told["call"] == {"returnValue": 42, "outputs": {"c": 1.5}}
        assert told["subscribed"] == [7, 8]
        assert told["info"][0]["deviceName"] == "flowbus PLC"
        # Everything that it has written and called leaves the flow, in order.
        topics = [(await running.get("out")).topic for _ in range(5)]
        assert topics == [
            "MAIN.stAxis", "MAIN.stAxis", "MAIN.aAxes", "MAIN.fbAdd#Add", "MAIN.stAxis",
        ]  # fmt: skip


async def test_another_client_reads_writes_and_watches_the_symbol_version() -> None:
    async with told_by("nodeads.js", "node-ads", "node-ads") as (running, told):
        info, state = told["info"]
        assert (info["deviceName"], state["adsState"]) == ("flowbus PLC", 5)
        assert told["missing"] == "Error: symbol not found"
        assert told["many"] == [7, "", "1808"]  # 0x710 for the one that does not exist
        assert told["read"] == -9
        own = "TwinCAT_SystemInfoVarList._AppInfo.OnlineChangeCnt"
        declared = {name: options["type"] for name, options in SYMBOLS.items()}
        assert told["symbols"] == {**declared, own: "UDINT"}
        size, members = told["type"]
        assert [name for name, _ in members] == list(AXIS)
        assert [offset for _, offset in members] == sorted(offset for _, offset in members)
        assert size >= members[-1][1]
        assert sorted(map(str, told["seen"][:2])) == ["['MAIN.nCount', -9]", "['version', 1]"]
        assert told["seen"][2] == ["MAIN.nCount", 77]
        written = [await running.get("out") for _ in range(2)]
        assert [(m.topic, m.payload) for m in written] == [("MAIN.nCount", -9), ("MAIN.nCount", 77)]
