"""The commands of ``flowbus ads`` against a simulated PLC, each as a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.protocol.ams import Frame
from flowbus_ads.protocol.constants import Command
from flowbus_ads.server import PlcServer

from flowbus.testing import Flow, run_flow

HOST, NET_ID = "127.0.0.47", "5.47.0.1.1.1"
PLC = {
    "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "users": {"anna": "geheim"},
    "types": {"ST": {"members": {"a": "INT", "b": "LREAL"}}},
    "symbols": {
        "MAIN.nCount": {"type": "DINT", "value": 7, "comment": "pieces"},
        "MAIN.sText": {"type": "STRING(20)", "value": "hällo"},
        "MAIN.bOn": {"type": "BOOL"},
        "MAIN.st": {"type": "ST", "value": {"a": 1, "b": 2.5}},
        "GVL.nTick": {"type": "UDINT", "behaviour": "counter", "period": 0.01},
    },
}  # fmt: skip


@asynccontextmanager
async def simulated() -> AsyncIterator[Flow]:
    with trio.fail_after(60):
        async with run_flow({"nodes": {"plc": PLC}, "wires": []}) as flow:
            await flow.wait_running("plc")
            yield flow


async def ads(*arguments: str, code: int = 0, stdin: bytes = b"") -> str:
    """Run ``flowbus ads`` and return what it prints: on stdout, or on stderr where it fails."""
    command = [sys.executable, "-m", "flowbus.cli", "ads", *arguments]

    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, input=stdin, capture_output=True, timeout=20, check=False)

    done = await trio.to_thread.run_sync(run, abandon_on_cancel=True)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return (done.stderr if code else done.stdout).decode()


async def test_a_technician_looks_around() -> None:
    async with simulated():
        told = json.loads(await ads("discover", HOST, "--json"))
        assert (told["net_id"], told["twincat"]) == (NET_ID, "3.1.4024")
        assert f"net_id:       {NET_ID}" in await ads("discover", HOST)
        listed = await ads("symbols", HOST)
        assert listed.splitlines()[0].split() == ["NAME", "TYPE", "BYTES", "ADDRESS", "COMMENT"]
        assert re.search(r"^MAIN\.nCount +DINT ", listed, re.MULTILINE)
        assert listed.splitlines()[1].endswith("pieces")
        assert len((await ads("symbols", HOST, "gvl.*")).splitlines()) == 2
        (found,) = json.loads(await ads("symbols", HOST, "stext", "--json"))
        assert (found["name"], found["type"], found["size"]) == ("MAIN.sText", "STRING(20)", 21)
        assert json.loads(await ads("state", HOST, "--json"))["state"] == "run"


async def test_values_are_read_and_written() -> None:
    async with simulated():
        assert await ads("read", HOST, "MAIN.nCount") == "7\n"
        assert await ads("read", HOST, "MAIN.sText") == "hällo\n"
        both = json.loads(await ads("read", HOST, "MAIN.st", "MAIN.nope", "--json"))
        assert both["MAIN.st"] == {"a": 1, "b": 2.5}
        assert both["MAIN.nope"]["error"]["code"] == "ads.0x0710"
        assert await ads("write", HOST, "MAIN.nCount", "-5") == "MAIN.nCount = -5\n"
        assert await ads("write", HOST, "MAIN.sText", "zwei Wörter") == 'MAIN.sText = "zwei Wörter"\n'
        assert await ads("write", HOST, "MAIN.sText", "5") == 'MAIN.sText = "5"\n'
        assert await ads("write", HOST, "MAIN.sText", "TRUE") == 'MAIN.sText = "TRUE"\n'
        assert await ads("write", HOST, "MAIN.bOn", "TRUE") == "MAIN.bOn = true\n"
        assert await ads("write", HOST, "MAIN.st", '{"b": 3}') == 'MAIN.st = {"a": 1, "b": 3.0}\n'


async def test_values_are_watched_and_the_state_is_set() -> None:
    async with simulated():
        lines = (await ads("watch", HOST, "GVL.nTick", "--cycle", "0.01", "--count", "3", "--json")).splitlines()
        values = [json.loads(line)["value"] for line in lines]
        assert len(values) == 3
        assert values == sorted(set(values))
        assert await ads("watch", HOST, "MAIN.nCount", "--for", "0.3") != ""
        assert "state:         stop" in await ads("state", HOST, "--set", "stop")


async def test_a_route_is_added_with_a_password_from_a_file_or_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("geheim\n")
    own = ["--name", "edge", "--user", "anna", "--net-id", "10.0.0.1.1.1", "--address", "10.0.0.1"]
    async with simulated() as flow:
        said = await ads("add-route", HOST, *own, "--password-file", str(file))
        assert said == f"{HOST} has the route edge to 10.0.0.1.1.1 at 10.0.0.1\n"
        routes = flow.runtime.status()["nodes"]["plc"]["details"]["routes"]
        assert routes == {"edge": "10.0.0.1.1.1"}
        assert "geheim" not in await ads("add-route", HOST, *own, stdin=b"geheim\n")
        refused = await ads("add-route", HOST, *own, stdin=b"falsch\n", code=69)
        assert "ads.0x0704" in refused
        assert "falsch" not in refused


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["read", HOST, "MAIN.nope"], 69, "ads.0x0710: "),
        (["write", HOST, "MAIN.nCount", "1.5"], 69, "ads.bad_value: MAIN.nCount: 1.5 is not a whole number"),
        (["watch", HOST, "MAIN.nope"], 69, "ads.0x0710: "),
        (["read", HOST, "MAIN.nCount", "--port", "852"], 69, "ads.0x0006: "),
        (["read", HOST, "MAIN.nCount", "--tcp-port", "1"], 69, "ads.connection_refused: "),
        (["discover", HOST, "--udp-port", "1", "--timeout", "0.05"], 69, "ads.no_discovery: "),
        (["read", "no-such-host.invalid", "x"], 69, "ads.host_not_found: "),
        (["read", HOST, "x", "--net-id", "1.2.3"], 2, "Invalid value for '--net-id'"),
        (["read", HOST], 2, "Missing argument"),
        (["state", HOST, "--set", "fly"], 2, "'fly' is not one of"),
    ],
)
async def test_what_goes_wrong_is_said_in_words(arguments: list[str], code: int, text: str) -> None:
    async with simulated():
        said: Any = await ads(*arguments, code=code)
        assert text in said
        assert code == 2 or "next step: " in said


@pytest.mark.parametrize("lost", ["mute", "dropped"])
@pytest.mark.parametrize("sets", [["write", "MAIN.nCount", "9"], ["state", "--set", "stop"]], ids=["value", "state"])
async def test_what_was_sent_and_not_answered_is_said_to_be_unknown(
    server: PlcServer, plc: SimulatedPlc, lost: str, sets: list[str]
) -> None:
    done: list[int] = []

    class Losing(SimulatedPlc):
        """Does what it is told, and is lost before it answers."""

        def answer(self, owner: int, frame: Frame) -> bytes:
            answer = super().answer(owner, frame)
            if frame.command not in (Command.WRITE, Command.WRITE_CONTROL):
                return answer
            done.append(frame.command)
            if lost == "dropped":
                server.drop_clients()
            return b""

    plc.__class__ = Losing
    where = ["127.0.0.1", "--tcp-port", str(server.port), "--net-id", "5.1.2.3.1.1", "--timeout", "0.3"]
    command, *rest = sets
    with trio.fail_after(30):
        said = await ads(command, *where, *rest, code=69)
    what = "MAIN.nCount was written" if command == "write" else "the state stop was set"
    cause = "ads.timeout: " if lost == "mute" else "ads.connection_lost: "
    assert f"Error: flowbus.unconfirmed: whether {what} is not known: {cause}" in said
    assert "next step: Look at what the device has before you do it again." in said
    assert len(done) == 1
