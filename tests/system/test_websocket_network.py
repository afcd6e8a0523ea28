"""Faults that need a network of the test's own, or a process that has run out of sockets."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus.control import NoAnswerError, ask
from flowbus.storage import owner_of
from tests.system.provoked import row_of
from tests.system.websocket_servers import echo, serving

pytestmark = pytest.mark.system

# A network of its own with a loopback and two routes, to nowhere; no packet leaves it. Names are
# looked up at a port of it where nobody answers.
APART = """
set -e
echo 'hosts: files dns' > "$0/nsswitch.conf"
echo 'nameserver 127.0.0.1' > "$0/resolv.conf"
mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf
mount --bind "$0/resolv.conf" "$(readlink -f /etc/resolv.conf)"
ip link set lo up
ip route add unreachable 198.51.100.0/24
ip route add prohibit 192.0.2.0/24
exec "$@"
"""


def apart(folder: Path) -> list[str]:
    """Return what stands before a command that is to run there."""
    return ["unshare", "-rnm", "sh", "-c", APART, str(folder)]


def can_unshare() -> bool:
    """Tell whether this user may have a network of its own."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = [*apart(Path(folder)), "true"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def write_flow(folder: Path, nodes: dict[str, Any]) -> Path:
    flow = folder / "flow.json"
    taken = {"sink": {"type": "debug"}}
    wires = [[name, "sink"] for name in nodes]
    value = {"flowbus": 1, "name": "faults", "nodes": nodes | taken, "wires": wires}
    flow.write_text(json.dumps(value))
    return flow


class Running:
    """A ``flowbus run`` whose status can be asked for."""

    def __init__(self, folder: Path, *before: str, **options: Any) -> None:
        self.state = folder / "state"
        command = [
            *before, sys.executable, "-m", "flowbus.cli", "run", str(folder / "flow.json"),
            "--state-dir", str(self.state), "--log-format", "json",
        ]  # fmt: skip
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environ, stderr=log, **options)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def logged(self) -> set[tuple[str, str]]:
        """The states and codes of clients that it has logged so far."""
        lines = [line for line in self.lines() if "client" in line.get("node", "")]
        return {(line.get("state", ""), line.get("code", "")) for line in lines}

    def nodes(self) -> dict[str, Any]:
        assert self.process.poll() is None
        with contextlib.suppress(OSError, ValueError, TypeError, NoAnswerError):
            shown = ask(Path(owner_of(self.state).socket), "status")["status"]["nodes"]
            assert isinstance(shown, dict)
            return shown
        return {}

    async def wait_codes(self, codes: dict[str, str]) -> dict[str, Any]:
        """Return the nodes once each has shown its code."""
        seen: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        while seen.keys() != codes.keys():
            assert trio.current_time() < trio.current_effective_deadline() - 1, (codes, shown)
            shown = self.nodes()
            seen |= {n: shown[n] for n in codes if n in shown and shown[n]["code"] == codes[n]}
            await trio.sleep(0.05)
        return seen


@contextlib.contextmanager
def running(folder: Path, *before: str, **options: Any) -> Iterator[Running]:
    flow = Running(folder, *before, **options)
    try:
        yield flow
    finally:
        flow.process.terminate()
        flow.process.wait(20)


NETWORK = {
    "no-host": ("198.51.100.1", "host_unreachable", "SOCK_CONN_HOSTUNREACH", 39),
    "no-network": ("203.0.113.1", "host_unreachable", "SOCK_CONN_HOSTUNREACH", 39),
    "prohibited": ("192.0.2.1", "connect_failed", "SOCK_CONN_FAILED", 37),
    "no-name": ("*.example", "host_not_found", "SOCK_NOT_FOUND", 6),
    "bad-label": (f"{'x' * 64}.example", "host_not_found", "SOCK_NOT_FOUND", 6),
    "no-resolver": ("plc.example", "resolver_error", "SOCK_ERR_EAI", 15),
}
LISTEN = {
    "elsewhere": ("192.0.2.7", "bind_address_invalid", "SOCK_BIND_ADDR_INVALID", 34),
    "no-scope": ("fe80::1", "bind_error", "SOCK_ERR_BIND", 32),
}


@pytest.mark.skipif(not can_unshare(), reason="needs unshare, mount and ip, for a network of its own")
async def test_what_the_network_does_not_give(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {
        name: {"type": "websocket-client", "url": f"ws://{host}:8765", "connect_timeout": 0}
        for name, (host, *_) in NETWORK.items()
    }
    twins = ("one", "another")
    nodes |= {name: {"type": "websocket-server", "port": 8765} for name in twins}
    for name, (host, *_) in LISTEN.items():
        nodes[name] = {"type": "websocket-server", "host": host, "port": 8765}
    write_flow(tmp_path, nodes)
    faults = NETWORK | LISTEN
    codes = {name: f"ws.{fault}" for name, (_, fault, *_) in faults.items()}
    with trio.fail_after(60), running(tmp_path, *apart(tmp_path)) as flow:
        seen = await flow.wait_codes(codes)
        while {flow.nodes()[name]["code"] for name in twins} != {"", "ws.address_in_use"}:
            await trio.sleep(0.05)
    row_of("ws.address_in_use", "SOCK_BIND_ADDR_INUSE", 33)
    for name, (host, fault, source, number) in faults.items():
        row_of(f"ws.{fault}", source, number)
        assert host in seen[name]["text"]


async def test_a_process_without_sockets_lives_and_recovers(tmp_path: Path) -> None:
    row_of("ws.no_more_sockets")
    names = [f"client{number}" for number in range(60)]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with trio.fail_after(60), serving(echo) as port:
        client = {"type": "websocket-client", "url": f"ws://127.0.0.1:{port}"}
        write_flow(tmp_path, dict.fromkeys(names, client))

        def few_files() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))

        with running(tmp_path, preexec_fn=few_files) as flow:
            # Its control socket has no file either: the log says how it is.
            while not {("waiting", "ws.no_more_sockets"), ("running", "")} <= flow.logged():
                await trio.sleep(0.05)
            resource.prlimit(flow.process.pid, resource.RLIMIT_NOFILE, (200, hard))
            states: set[str] = set()
            while states != {"running"}:
                states = {node["state"] for name, node in flow.nodes().items() if name in names}
                await trio.sleep(0.05)
            texts = [
                line["text"] for line in flow.lines() if line.get("code") == "ws.no_more_sockets"
            ]
    assert all("too many open files" in text.lower() for text in texts)
