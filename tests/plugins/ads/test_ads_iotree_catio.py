"""CATio, which introspects TwinCAT systems at Diamond Light Source, against the simulated I/O server.

It needs Python 3.13 and the package fastcs-catio in a virtual environment of its own; tests/install_peers.sh makes it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.iotree import IoServer
from flowbus_ads.link import open_link

from flowbus.testing import run_flow

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowbus-tests"
PYTHON = CACHE / "catio" / "bin" / "python"
PEER = Path(__file__).parent / "catio_peer.py"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="needs Python 3.13 and fastcs-catio: sh tests/install_peers.sh")

HOST, NET_ID = "127.0.0.61", "5.61.0.1.1.1"
TERMINALS = ["EK1100", *["EL1008", "EL2008", "EL3064"] * 6, "EK1110"]
SECOND: list[Any] = [
    {"type": "EK1100", "name": "Coupler", "address": 2001, "serial": 77, "state": "PREOP"},
    *["EL3202"] * 19,
]
PLC = {
    "type": "ads-simulator", "host": HOST, "net_id": NET_ID,
    "io": [{"terminals": TERMINALS}, {"name": "Sensors", "id": 7, "terminals": SECOND}],
}  # fmt: skip


def peer() -> dict[str, Any]:
    command = [str(PYTHON), str(PEER), HOST, NET_ID]
    done = subprocess.run(command, capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


async def ours() -> dict[str, Any]:
    async with open_link(HOST, 48898, connect_timeout=2.0) as link:
        return await IoServer(AdsClient(link, NET_ID, 851).target).tree()


async def test_catio_finds_what_our_client_finds() -> None:
    with trio.fail_after(60):
        async with run_flow({"nodes": {"plc": PLC}, "wires": []}) as flow:
            await flow.wait_running("plc")
            theirs = await trio.to_thread.run_sync(peer, abandon_on_cancel=True)
            tree = await ours()
    server = tree["server"]
    assert theirs["server"] == [server["name"], "3-1", server["build"], server["device_count"]]
    assert len(theirs["devices"]) == len(tree["devices"]) == 2
    for their, our in zip(theirs["devices"], tree["devices"], strict=True):
        assert [their[name] for name in ("id", "type", "name", "net_id", "count")] == [
            our[name] for name in ("id", "type_number", "name", "net_id", "terminal_count")
        ]
        assert their["identity"] == list(our["identity"].values())
        sent, lost, queued, _ = their["frames"]
        assert 0 < sent <= our["frames"]["cyclic"]
        assert queued <= our["frames"]["queued"]
        assert lost == 0
        assert their["states"] == [slave["state"] for slave in their["slaves"]]
        for slave, terminal in zip(their["slaves"], our["terminals"], strict=True):
            assert [slave["address"], slave["type"], slave["name"]] == [
                terminal["address"], terminal["type"], terminal["name"],
            ]  # fmt: skip
            assert slave["identity"] == list(terminal["identity"].values())
            assert slave["state"] == [{"OP": 8, "PREOP": 2}[terminal["state"]], 0]
            assert slave["crc"] == list(terminal["crc"].values())
