"""WebSocket broadcast: one message to 1, 100 and 1,000 clients, beside ``broadcast`` of websockets.

The clients are in a process of their own (broadcast_readers.py). They take a round of messages,
each of them all, and then one asks for the next round, so that nothing waits anywhere for long.
Counted are deliveries a second, a message to so many clients being so many, and the CPU time of the
server's process for one. Run by itself with ``python -m benchmarks.broadcast [quick]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from benchmarks.broadcast_readers import HOST, readers
from benchmarks.rows import from_dict, table
from flowbus import Config, Message, NodeIO, io_node
from flowbus.testing import run_flow

SECONDS = 3.0
SIZE = 125  # bytes
CLIENTS = (1, 100, 1000)
PEER = "websockets, asyncio, broadcast()"

Row = dict[str, Any]


def in_round(clients: int) -> int:
    """Return how many messages a round has."""
    return max(10, 1000 // clients)


class Rounds:
    """Counts rounds from the second one on, for some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.count = 0
        self.start = self.end = self.cpu = 0.0

    def next(self) -> bool:
        """Note that a round has arrived; False once that was enough."""
        now = time.perf_counter()
        if not self.start:
            self.start, self.cpu = now, time.process_time()
            return True
        self.count += 1
        self.end = now
        if now - self.start < self.seconds:
            return True
        self.cpu = time.process_time() - self.cpu
        return False

    def rows(self, clients: int) -> tuple[float, float]:
        """Return deliveries a second, and microseconds of CPU for each."""
        deliveries = self.count * in_round(clients) * clients
        return deliveries / (self.end - self.start), self.cpu / deliveries * 1e6


Serve = Callable[[int, Rounds], Awaitable[None]]


async def run(quick: bool = False) -> list[Row]:
    """Measure and return two rows a case. A peer that is not installed leaves its column empty."""
    rows: list[Row] = []
    for clients in CLIENTS:
        own = Rounds(1.0 if quick else SECONDS)
        await flow_server(clients, own)
        peer: Rounds | None = Rounds(own.seconds)
        try:
            await trio.to_thread.run_sync(asyncio.run, peer_server(clients, peer))
        except ImportError:
            peer = None
        name = f"WebSocket broadcast, {SIZE} B, {clients} client{'s' * (clients > 1)}"
        for place, unit in enumerate(("msg/s", "µs CPU/msg")):
            rows.append({
                "name": name, "unit": unit, "flowbus": own.rows(clients)[place],
                "peer": None if peer is None else peer.rows(clients)[place], "peer_name": PEER,
            })  # fmt: skip
    return rows


async def flow_server(clients: int, rounds: Rounds) -> None:
    """Broadcast from a flow."""
    done = trio.Event()

    @io_node("rounds", duplex=True)
    async def send_rounds(config: Config, io: NodeIO) -> None:
        """Send a round for each message that comes."""
        while True:
            (await io.take()).confirm()
            if not rounds.next():
                done.set()
                return
            await io.send_many([Message("x" * SIZE) for _ in range(in_round(clients))])

    server = {"type": "websocket-server", "port": 0, "slow_client": "wait", "compression": False}
    value = {
        "nodes": {"ws": server, "rounds": {"type": "rounds"}},
        "wires": [["ws", "rounds"], ["rounds", "ws"]],
    }
    with trio.fail_after(60):
        async with run_flow(value, [send_rounds]) as flow:
            await flow.wait_running("ws")
            port = int(flow.status("ws").text.rpartition(":")[2].partition("/")[0])
            with readers(clients, in_round(clients), SIZE, port):
                await done.wait()


async def peer_server(clients: int, rounds: Rounds) -> None:
    """Broadcast by the websockets library."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve
    from websockets.exceptions import ConnectionClosed

    done = asyncio.Event()
    connected: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        connected.add(connection)
        with contextlib.suppress(ConnectionClosed):  # the clients are killed in the end
            async for _ in connection:
                if not rounds.next():
                    done.set()
                    return
                for _ in range(in_round(clients)):
                    broadcast(connected, "x" * SIZE)

    async with asyncio.timeout(60):
        async with serve(handle, HOST, 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            with readers(clients, in_round(clients), SIZE, port):
                await done.wait()


def main() -> None:
    print(table([from_dict(row) for row in trio.run(run, "quick" in sys.argv)]))


if __name__ == "__main__":
    main()
