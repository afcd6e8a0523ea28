"""Every example flow passes its check and the schema without a remark, and runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio

from flowbus import plugins
from flowbus.check import check_file
from flowbus.schema import flow_schema
from tests.system import peers

FLOWS = sorted((Path(__file__).parents[2] / "flows").glob("*.json"))
DEMO = FLOWS[0].with_name("demo.json")


def named(flow: Path) -> str:
    return flow.stem


@pytest.mark.parametrize("flow", FLOWS, ids=named)
def test_it_passes_its_check(flow: Path) -> None:
    assert [str(problem) for problem in check_file(flow, plugins.installed()).problems] == []


@pytest.mark.parametrize("flow", FLOWS, ids=named)
def test_the_schema_takes_it(flow: Path) -> None:
    jsonschema.validate(json.loads(flow.read_text()), flow_schema(plugins.installed()))


@pytest.mark.parametrize("flow", FLOWS, ids=named)
async def test_it_runs(flow: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    # Beside free ports for those that take one from the environment, the demo has its own.
    ports = {name: str(peers.free_port()) for name in ("PORT", "MQTT_PORT", "ADS_PORT")}
    broker = peers.mosquitto(tmp_path)
    environment = {**os.environ, **ports, "MQTT_URL": f"mqtt://127.0.0.1:{broker.port}"}
    command = [sys.executable, "-m", "flowbus.cli", "run", str(flow), "--for", "4"]
    command += ["--report", str(report), "--state-dir", str(tmp_path / "state"), "--log-level", "warning"]
    with trio.fail_after(40), peers.ended(broker):
        await broker.start()
        ended = await trio.run_process(
            command, env=environment, capture_stderr=True, capture_stdout=True, check=False
        )
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
    told = json.loads(report.read_text())
    assert told["ledger"]["in_flight"] == 0
    for name, node in told["nodes"].items():
        assert "flowbus.bug" not in node["faults"], name
        assert node["state"] in ("running", "stopped"), (name, node)


async def test_the_demo_tells_what_happened(tmp_path: Path) -> None:
    """One node fails on purpose and recovers, every bad order has an alarm, nothing is lost."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "flowbus.cli", "run", str(DEMO), "--for", "16"]
    command += ["--report", str(report), "--state-dir", str(tmp_path / "state")]
    with trio.fail_after(60):
        ended = await trio.run_process(command, capture_stderr=True, check=False)
    log = ended.stderr.decode()
    told: dict[str, Any] = json.loads(report.read_text())
    assert ended.returncode == 0, log
    assert "drive        waiting ads." in log
    assert told["nodes"]["drive"]["state"] == "running"
    assert told["connections"]["line3"]["restarts"] >= 1
    assert told["nodes"]["drive"]["taken"] > 150
    assert told["nodes"]["command"]["faults"]["core.not_json"] >= 1
    assert told["nodes"]["alarms"]["taken"] >= 4
    ledger = told["ledger"]
    assert ledger["in_flight"] == 0
    assert ledger["emitted"] == sum(
        ledger[end] for end in ("confirmed", "rejected", "expired", "dropped")
    )


def test_the_demo_s_words(tmp_path: Path) -> None:
    """The script of ``make demo`` puts the report into words; here for a run cut short by a signal."""
    script = DEMO.with_name("demo.py")
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    for line in run.stdout:
        if "drive" in line and "running" in line:
            break
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    words = run.communicate(timeout=30)[0]
    assert run.returncode == 0, words
    assert "PLC writes confirmed by the PLC" in words
    assert "0 still in flight" in words
