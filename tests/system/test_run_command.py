"""``flowbus run`` as a process: signals, kill -9, control socket, and ``flowbus status`` beside it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowbus.control import ask
from flowbus.storage import owner_of

STAGE = Path(__file__).parents[1] / "cli" / "stage"
PATIENCE = 20.0  # s

pytestmark = pytest.mark.system


def until(true: Callable[[], Any], what: str) -> Any:
    """Return what ``true()`` gives as soon as it is true; poll, but not for ever."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"never: {what}")


class Place:
    """A folder with a flow file, a state directory, and the processes that a test starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state" / "flowbus" / "demo"
        self.environ = {
            **os.environ, "PYTHONPATH": str(STAGE), "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder),
        }  # fmt: skip
        self.environ.pop("STATE_DIRECTORY", None)
        self.processes: list[subprocess.Popen[bytes]] = []

    def write(self, nodes: dict[str, Any], *wires: list[str]) -> None:
        flow = {"flowbus": 1, "name": "demo", "nodes": nodes, "wires": wires}
        (self.folder / "demo.json").write_text(json.dumps(flow))

    def run(self, *options: str) -> subprocess.Popen[bytes]:
        """Start ``flowbus run`` and return once every node runs."""
        command = [sys.executable, "-m", "flowbus.cli", "run", "demo.json", *options]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environ, stderr=log)
        self.processes.append(process)
        until(lambda: self.is_running(process), "the flow runs")
        return process

    def is_running(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log()
        if owner_of(self.state).pid != process.pid:
            return False
        with contextlib.suppress(OSError):
            return all(node["state"] == "running" for node in self.status()["nodes"].values())
        return False

    def status(self) -> Any:
        return ask(Path(owner_of(self.state).socket), "status")["status"]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flowbus.cli", *arguments],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_logged(self, text: str) -> None:
        until(lambda: text in self.log(), f"the log has {text!r}")

    def report(self) -> Any:
        return json.loads((self.folder / "r.json").read_text())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    for process in found.processes:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


def held(place: Place) -> None:
    """A flow whose sink confirms nothing before the file ``go`` is there."""
    nodes = {
        "in": {"type": "stage-tick"},
        "out": {"type": "stage-gate", "file": str(place.folder / "go")},
    }
    place.write(nodes, ["in", "out"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_what_is_in_flight(place: Place, number: signal.Signals) -> None:
    held(place)
    process = place.run("--report", "r.json", "--drain", "60")
    until(lambda: place.status()["ledger"]["in_flight"] >= 5, "messages are in flight")
    process.send_signal(number)
    place.wait_logged(f"stopping: {number.name}")
    assert process.poll() is None
    (place.folder / "go").touch()
    assert process.wait(PATIENCE) == 0
    ledger = place.report()["ledger"]
    assert ledger["in_flight"] == 0
    assert ledger["emitted"] == ledger["confirmed"] >= 5


def test_the_drain_has_an_end(place: Place) -> None:
    held(place)
    process = place.run("--report", "r.json", "--drain", "0.1")
    until(lambda: place.status()["ledger"]["in_flight"], "messages are in flight")
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert place.report()["ledger"]["in_flight"] > 0


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_second_signal_ends_it_at_once(place: Place, second: signal.Signals, code: int) -> None:
    held(place)
    process = place.run("--report", "r.json", "--drain", "600")
    until(lambda: place.status()["ledger"]["in_flight"], "messages are in flight")
    process.terminate()
    place.wait_logged("stopping: SIGTERM")
    process.send_signal(second)
    assert process.wait(PATIENCE) == code
    assert place.report()["ledger"]["emitted"] > 0
    assert not (place.state / "control.sock").exists()


def test_a_node_that_ignores_its_end_is_named_and_does_not_hold_up_the_exit(place: Place) -> None:
    place.write({"in": {"type": "stage-stuck"}})
    process = place.run("--report", "r.json")
    process.terminate()
    assert process.wait(PATIENCE) == 70
    assert "does not end: node in in stuck (" in place.log()
    assert place.report()["flow"] == "demo"


def test_a_node_that_holds_up_the_loop_is_named_too(place: Place) -> None:
    place.write({"in": {"type": "stage-busy", "file": "busy"}})
    process = place.run("--report", "r.json", "--drain", "0")
    until((place.folder / "busy").exists, "the node is busy")
    process.terminate()
    assert process.wait(PATIENCE) == 70
    assert "node or connection in holds up the whole program in busy (" in place.log()
    assert place.report()["flow"] == "demo"


def test_the_third_signal_does_not_even_wait_for_that(place: Place) -> None:
    place.write({"in": {"type": "stage-busy", "file": "busy"}})
    process = place.run("--drain", "600")
    until((place.folder / "busy").exists, "the node is busy")
    for _ in range(200):  # signals of one kind merge while the first is not yet seen
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            break
    assert process.wait(PATIENCE) == 143


def test_after_kill_9_it_starts_again_at_once(place: Place) -> None:
    held(place)
    first = place.run()
    first.kill()
    first.wait(PATIENCE)
    assert (place.state / "control.sock").is_socket()
    stale = place.cli("status", "demo")
    assert stale.returncode == 69
    assert f"process {first.pid} ran it and was killed" in stale.stderr
    assert "No flow runs" in place.cli("status").stdout
    (place.folder / "go").touch()
    second = place.run()
    assert owner_of(place.state).pid == second.pid
    second.terminate()
    assert second.wait(PATIENCE) == 0


def test_a_second_run_of_the_same_flow_is_refused(place: Place) -> None:
    held(place)
    process = place.run()
    refused = place.cli("run", "demo.json")
    assert refused.returncode == 75
    assert f"process {process.pid}" in refused.stderr
    assert place.is_running(process)


def test_status_shows_the_running_flow(place: Place) -> None:
    held(place)
    process = place.run()
    for arguments in (["demo"], ["demo.json"], ["--state-dir", str(place.state)]):
        shown = place.cli("status", *arguments)
        assert shown.returncode == 0, shown.stderr
        lines = shown.stdout.splitlines()
        assert lines[0].startswith(f"demo: process {process.pid}, running for ")
        assert lines[2].split() == [
            "NAME", "TYPE", "STATE", "FOR", "IN", "OUT", "REJECTED", "QUEUED", "RESTARTS", "CODE", "TEXT",
        ]  # fmt: skip
        assert lines[3].startswith("in    stage-tick  running")
        assert lines[3].endswith("ticking")
    listed = place.cli("status").stdout.splitlines()
    assert listed[1].split()[:2] == ["demo", str(process.pid)]
    assert listed[1].endswith("2 running")
    as_json = json.loads(place.cli("status", "demo", "--json").stdout)
    assert as_json["pid"] == process.pid
    assert as_json["nodes"]["in"]["since"] > 0
    assert [flow["flow"] for flow in json.loads(place.cli("status", "--json").stdout)] == ["demo"]


@pytest.mark.parametrize("secret", ["second", "running"])
def test_a_secret_that_is_a_word_of_the_status_takes_nothing_away(
    place: Place, secret: str
) -> None:
    held(place)
    flow = json.loads((place.folder / "demo.json").read_text())
    flow["connections"] = {"line": {"type": "stage-line", "password": secret}}
    (place.folder / "demo.json").write_text(json.dumps(flow))
    place.run()
    shown = place.cli("status", "demo")
    assert shown.returncode == 0, shown.stderr
    rows = [line.split()[:3] for line in shown.stdout.splitlines()]
    assert ["in", "stage-tick", "running"] in rows
    assert "in flight" in shown.stdout.splitlines()[-1]


def test_status_of_a_flow_that_does_not_run_says_how_to_start_it(place: Place) -> None:
    held(place)
    shown = place.cli("status", "demo.json")
    assert shown.returncode == 69
    assert "the flow demo.json does not run" in shown.stderr
    assert "flowbus run demo.json" in shown.stderr
    assert place.cli("status", "nothing").returncode == 69
    assert place.cli("status", "--json").stdout == "[]\n"
    missing = place.cli("status", "missing.json")
    assert missing.returncode == 78
    assert "there is no such file" in missing.stderr


def test_the_control_socket_stops_it(place: Place) -> None:
    (place.folder / "go").touch()
    held(place)
    process = place.run("--report", "r.json")
    assert ask(place.state / "control.sock", "stop")["stopping"] is True
    assert process.wait(PATIENCE) == 0
    assert place.report()["ledger"]["in_flight"] == 0


def test_clients_that_misbehave_do_not_disturb_the_flow(place: Place) -> None:
    (place.folder / "go").touch()
    held(place)
    process = place.run("--report", "r.json")
    with contextlib.ExitStack() as peers:
        for data in (b"\x00garbage\n" * 100, b"x" * 200_000, b'{"command":', b"") * 10:
            peer = peers.enter_context(socket.socket(socket.AF_UNIX))
            peer.settimeout(PATIENCE)
            peer.connect(str(place.state / "control.sock"))
            with contextlib.suppress(OSError):
                peer.sendall(data)
        before = owner_of(place.state)
        until((place.folder / "log").exists, "there is a log")
        assert before.pid == process.pid
    until(lambda: place.status()["ledger"]["confirmed"] > 20, "messages go on")
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert place.report()["ledger"]["rejected"] == 0


def test_a_state_directory_with_a_long_path_works_like_any_other(place: Place) -> None:
    place.folder.chmod(0o700)
    held(place)
    place.state = place.folder / ("x" * 100) / ("y" * 100)
    process = place.run("--state-dir", str(place.state))
    assert Path(owner_of(place.state).socket).parent == place.folder / "flowbus"
    shown = place.cli("status", "--state-dir", str(place.state))
    assert shown.returncode == 0, shown.stderr
    process.kill()


def test_systemd_s_state_directory_is_taken(place: Place) -> None:
    held(place)
    place.state = place.folder / "service"
    place.environ["STATE_DIRECTORY"] = str(place.state)
    place.run()
    assert place.cli("status", "demo").returncode == 0


def test_who_watches_may_leave(place: Place) -> None:
    (place.folder / "go").touch()
    held(place)
    command = [sys.executable, "-m", "flowbus.cli", "run", "demo.json", "--watch"]
    with (place.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=place.folder, env=place.environ, stdout=subprocess.PIPE, stderr=log
        )
    place.processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    until(lambda: place.is_running(process), "the flow runs")
    count = place.status()["ledger"]["confirmed"]
    until(lambda: place.status()["ledger"]["confirmed"] > count + 120, "it goes on for a while")
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in place.log()
    assert "BrokenPipe" not in place.log()
