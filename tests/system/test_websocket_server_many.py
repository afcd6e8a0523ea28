"""10,000 clients that say nothing, held by one process."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from websockets.sync.client import connect as connect_sync

from tests.system import peers
from tests.system.test_backpressure import resident
from tests.system.websocket_peers import REQUEST, in_thread

pytestmark = pytest.mark.system

CLIENTS = 10_000
MOST_KB = 30  # of resident memory for each
PORTS = 2000  # connections from each address of the loopback network


@contextlib.contextmanager
def open_files(wanted: int) -> Iterator[None]:
    """Allow so many open files here and in the processes that are started; skip where it cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} open files are needed, the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_clients(port: int, count: int, clients: list[socket.socket]) -> None:
    for number in range(count):
        sock = socket.socket()
        clients.append(sock)
        sock.settimeout(30)
        sock.bind((f"127.0.1.{1 + len(clients) // PORTS}", 0))
        sock.connect(("127.0.0.1", port))
        sock.sendall(REQUEST)
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 "), number


async def test_10000_idle_clients_cost_at_most_30_kb_each(tmp_path: Path) -> None:
    port = peers.free_port()
    flow = {
        "flowbus": 1,
        "name": "many",
        "nodes": {
            # These clients answer no pings.
            "server": {
                "type": "websocket-server",
                "port": port,
                "max_connections": 11_000,
                "keepalive": False,
            }
        },
        "wires": [["server", "server"]],
    }
    flow_file = tmp_path / "flow.json"
    flow_file.write_text(json.dumps(flow))
    runner = peers.flowbus(flow_file, tmp_path / "state", port)
    clients: list[socket.socket] = []
    with trio.fail_after(120), open_files(CLIENTS + 500), peers.ended(runner):
        await runner.start()
        try:
            await in_thread(open_clients, port, 200, clients)  # what there is one of is there
            before = resident(runner.pid)
            await in_thread(open_clients, port, CLIENTS - 200, clients)
            each = (resident(runner.pid) - before) / (CLIENTS - 200)
            print(f"{each:.1f} KiB for each of {CLIENTS} clients")
            assert await in_thread(echo, port) == "still quick"
            assert each <= MOST_KB
        finally:
            for client in clients:
                client.close()


def echo(port: int) -> str | bytes:
    with connect_sync(f"ws://127.0.0.1:{port}") as peer:
        peer.send("still quick")
        return peer.recv(10)
