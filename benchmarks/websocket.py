"""WebSocket messages received per second: flowbus beside the websockets library on trio.

The load comes from a process of its own that sends frames made beforehand, as fast as they are
taken, over one connection on loopback. ``run()`` returns rows of name, unit, flowbus, peer,
peer_name and ratio. Run by itself with ``python -m benchmarks.websocket``.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio
from flowbus_websocket.client import Limits, Request, connect
from flowbus_websocket.protocol.answer import Answering, accept
from flowbus_websocket.protocol.ask import Asking, Opening
from flowbus_websocket.protocol.encoder import FrameEncoder
from flowbus_websocket.server.client import Caller, Client
from flowbus_websocket.url import parse_url
from flowbus_websocket.welcome import Decision, answer, read_request

from flowbus import Config, NodeIO, io_node
from flowbus.testing import run_flow

HOST = "127.0.0.1"
SECONDS = 3.0
WARM_UP = 0.5
SIZES = (125, 4096)
BLOCK = 1 << 18  # bytes that the load sends at once
PEER = "websockets, trio"

Row = dict[str, Any]
Count = Callable[[int], None]
Receive = Callable[[int, Count], Awaitable[None]]


async def run(quick: bool = False) -> list[Row]:
    """Measure and return one row a figure. A peer that is not installed leaves its column empty."""
    seconds = 1.0 if quick else SECONDS
    rows: list[Row] = []
    for size in SIZES:
        text = f"text of {size} B"
        peer = await client_rate(peer_client, size, seconds)
        own = await client_rate(channel_client, size, seconds)
        rows.append(row(f"WebSocket client, {text}, bare connection", own, peer))
        own = await client_rate(flow_client, size, seconds)
        rows.append(row(f"WebSocket client, {text}, into a flow", own, peer))
        peer = await server_rate(peer_server, size, seconds)
        own = await server_rate(channel_server, size, seconds)
        rows.append(row(f"WebSocket server, {text}, bare connection", own, peer))
        own = await server_rate(flow_server, size, seconds)
        rows.append(row(f"WebSocket server, {text}, into a flow", own, peer))
    return rows


def row(name: str, own: float | None, peer: float | None) -> Row:
    """Return one row; the ratio is flowbus over peer."""
    assert own is not None
    ratio = None if not peer else round(own / peer, 2)
    return {
        "name": name, "unit": "1/s", "flowbus": round(own), "peer": peer and round(peer),
        "peer_name": PEER if peer else None, "ratio": ratio,
    }  # fmt: skip


class Meter:
    """Counts messages, and measures their rate after a warm-up."""

    def __init__(self, seconds: float) -> None:
        self.rate = 0.0
        self._seconds = seconds
        self._count = 0
        self._began = trio.Event()

    def __call__(self, count: int) -> None:
        self._count += count
        self._began.set()

    async def measure(self) -> None:
        """Return once the rate is known."""
        with trio.fail_after(20):
            await self._began.wait()
        await trio.sleep(WARM_UP)
        count, start = self._count, time.perf_counter()
        await trio.sleep(self._seconds)
        self.rate = (self._count - count) / (time.perf_counter() - start)


# ---- flowbus and its peer as clients


async def client_rate(receive: Receive, size: int, seconds: float) -> float | None:
    """Return messages a second of a client; None where its library is not installed."""
    with load("serve", size, 0) as port:
        return await measured(lambda meter: receive(port, meter), seconds)


async def measured(receive: Callable[[Meter], Awaitable[None]], seconds: float) -> float | None:
    meter = Meter(seconds)
    missing = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, meter)
            await meter.measure()
            nursery.cancel_scope.cancel()
    except* ImportError:
        missing = True
    return None if missing else meter.rate


async def channel_client(port: int, count: Count) -> None:
    request = Request(address=parse_url(f"ws://{HOST}:{port}"))
    channel, _ = await connect(request, Limits(), None, 5.0)
    while True:
        count(len(await channel.receive()))


async def flow_client(port: int, count: Count) -> None:
    async with flow({"type": "websocket-client", "url": f"ws://{HOST}:{port}"}, count):
        await trio.sleep_forever()


async def peer_client(port: int, count: Count) -> None:
    from websockets.trio.client import connect as connect_peer

    async with connect_peer(f"ws://{HOST}:{port}", compression=None) as connection:
        async for _ in connection:
            count(1)


@asynccontextmanager
async def flow(node: dict[str, Any], count: Count) -> AsyncIterator[str]:
    """Run a flow of the node and a sink that counts; yields the node's status text."""

    @io_node("count", outlets=())
    async def counting(config: Config, io: NodeIO) -> None:
        """Count and confirm."""
        while True:
            deliveries = await io.take_many()
            for delivery in deliveries:
                delivery.confirm()
            count(len(deliveries))

    value = {"nodes": {"ws": node, "sink": {"type": "count"}}, "wires": [["ws", "sink"]]}
    async with run_flow(value, [counting]) as running:
        await running.wait_running()
        yield running.status("ws").text


# ---- flowbus and its peer as servers


Serve = Callable[[Count, trio.Event, list[int]], Awaitable[None]]


async def server_rate(serve: Serve, size: int, seconds: float) -> float | None:
    """Return messages a second of a server; None where its library is not installed."""

    async def receive(meter: Meter) -> None:
        listening, port = trio.Event(), [0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, meter, listening, port)
            await listening.wait()
            with load("send", size, port[0]):
                await trio.sleep_forever()

    return await measured(receive, seconds)


async def channel_server(count: Count, listening: trio.Event, port: list[int]) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        request = await read_request(stream)
        await answer(stream, request, Decision())
        channel = Limits().channel(stream, is_client=False, rest=request.rest)
        client = Client("1", Caller(request=request), channel, Decision())
        while True:
            count(len(await client.channel.receive()))

    listeners = await trio.open_tcp_listeners(0, host=HOST)
    port[0] = listeners[0].socket.getsockname()[1]
    listening.set()
    await trio.serve_listeners(handle, listeners)


async def flow_server(count: Count, listening: trio.Event, port: list[int]) -> None:
    async with flow({"type": "websocket-server", "host": HOST, "port": 0}, count) as text:
        port[0] = int(text.rpartition(":")[2].partition("/")[0])
        listening.set()
        await trio.sleep_forever()


async def peer_server(count: Count, listening: trio.Event, port: list[int]) -> None:
    from websockets.trio.server import ServerConnection
    from websockets.trio.server import serve as serve_peer

    async def handle(connection: ServerConnection) -> None:
        async for _ in connection:
            count(1)

    listeners = await trio.open_tcp_listeners(0, host=HOST)
    port[0] = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:

        async def run_server() -> None:
            await serve_peer(handle, listeners=listeners, compression=None)

        nursery.start_soon(run_server)
        listening.set()


# ---- the load, in a process of its own


@contextmanager
def load(role: str, size: int, port: int) -> Iterator[int]:
    """Run the load; as a server it says its port."""
    command = [sys.executable, "-m", "benchmarks.websocket", role, str(size), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def be_load(role: str, size: int, port: int) -> None:
    """Send messages until the peer hangs up."""
    encoder = FrameEncoder(masked=role == "send")
    count = max(1, BLOCK // size)
    block = b"".join(
        encoder.message(os.urandom(size // 2).hex().ljust(size, "x")) for _ in range(count)
    )
    with contextlib.suppress(ConnectionError):
        connection = dial(port) if role == "send" else take()
        while True:
            connection.sendall(block)


def dial(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port))
    print(port, flush=True)
    key = base64.b64encode(os.urandom(16)).decode()
    asking = Asking(Opening(f"{HOST}:{port}", "/", key))
    connection.sendall(asking.request())
    while asking.receive(connection.recv(4096)) is None:
        pass
    return connection


def take() -> socket.socket:
    with socket.create_server((HOST, 0)) as server:
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    answering = Answering()
    while (request := answering.receive(connection.recv(4096))) is None:
        pass
    connection.sendall(accept(request))
    return connection


def main() -> None:
    if len(sys.argv) > 1:
        be_load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        return
    for line in trio.run(run):
        own, peer = line["flowbus"], line["peer"]
        print(f"{line['name']:50} {own:>9} {peer or '-':>9} {line['ratio'] or '-':>6}")


if __name__ == "__main__":
    main()
