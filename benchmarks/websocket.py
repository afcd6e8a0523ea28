"""WebSocket messages received: flowbus beside the websockets library on trio.

The load comes from a process of its own (websocket_load.py) that sends frames made beforehand, as
fast as they are taken, over one connection or a hundred on loopback. Counted are messages a second
and the CPU time that the receiving process takes for one. ``run()`` returns rows of name, unit,
flowbus, peer and peer_name. Run by itself with ``python -m benchmarks.websocket [quick]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import trio
from flowbus_websocket.client import Limits, Request, connect
from flowbus_websocket.url import parse_url
from flowbus_websocket.welcome import Decision, answer, read_request

from benchmarks.rows import from_dict, table
from benchmarks.websocket_load import HOST, load
from flowbus import Config, NodeIO, io_node
from flowbus.testing import run_flow

SECONDS = 3.0
WARM_UP = 0.5
SIZES = (125, 4096)
CONNECTIONS = (1, 100)
PEER = "websockets, trio"

Row = dict[str, Any]
Count = Callable[[int], None]


class Figures(NamedTuple):
    """Messages a second, and microseconds of CPU for each."""

    rate: float
    cpu: float


async def run(quick: bool = False) -> list[Row]:
    """Measure and return two rows a case. A peer that is not installed leaves its column empty."""
    seconds = 1.0 if quick else SECONDS
    rows: list[Row] = []
    for size in SIZES:
        for connections in CONNECTIONS:
            what = f"{size} B, {connections} connection{'s' * (connections > 1)}"
            peer = await as_clients(peer_client, size, connections, seconds)
            for name, receive in (("bare", channel_client), ("into a flow", flow_client)):
                own = await as_clients(receive, size, connections, seconds)
                rows += pair(f"WebSocket client, {what}, {name}", own, peer)
            peer = await as_server(peer_server, size, connections, seconds)
            for name, serve in (("bare", channel_server), ("into a flow", flow_server)):
                own = await as_server(serve, size, connections, seconds)
                rows += pair(f"WebSocket server, {what}, {name}", own, peer)
    return rows


def pair(name: str, own: Figures | None, peer: Figures | None) -> list[Row]:
    """Return the rows of one case."""
    assert own is not None
    units = ("msg/s", "µs CPU/msg")
    return [
        {
            "name": name, "unit": unit, "flowbus": own[place],
            "peer": None if peer is None else peer[place], "peer_name": PEER,
        }
        for place, unit in enumerate(units)
    ]  # fmt: skip


class Meter:
    """Counts messages, and measures their rate and cost after a warm-up."""

    def __init__(self, seconds: float) -> None:
        self.figures = Figures(0.0, 0.0)
        self._seconds = seconds
        self._count = 0
        self._began = trio.Event()

    def __call__(self, count: int) -> None:
        self._count += count
        self._began.set()

    async def measure(self) -> None:
        """Return once the figures are known."""
        with trio.fail_after(20):
            await self._began.wait()
        await trio.sleep(WARM_UP)
        count, start, cpu = self._count, time.perf_counter(), time.process_time()
        await trio.sleep(self._seconds)
        count = self._count - count
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        self.figures = Figures(count / seconds, cpu / count * 1e6)


# ---- flowbus and its peer as clients


Receive = Callable[[int, int, Count], Awaitable[None]]


async def as_clients(
    receive: Receive, size: int, connections: int, seconds: float
) -> Figures | None:
    """Return the figures of clients; None where their library is not installed."""
    with load("serve", size, connections) as port:
        return await measured(lambda meter: receive(port, connections, meter), seconds)


async def measured(receive: Callable[[Meter], Awaitable[None]], seconds: float) -> Figures | None:
    meter = Meter(seconds)
    missing = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, meter)
            await meter.measure()
            nursery.cancel_scope.cancel()
    except* ImportError:
        missing = True
    return None if missing else meter.figures


async def channel_client(port: int, connections: int, count: Count) -> None:
    request = Request(address=parse_url(f"ws://{HOST}:{port}"))

    async def receive() -> None:
        channel = (await connect(request, Limits(), None, 5.0)).channel
        while True:
            count(len(await channel.receive()))

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(receive)


async def flow_client(port: int, connections: int, count: Count) -> None:
    node = {"type": "websocket-client", "url": f"ws://{HOST}:{port}"}
    async with flow([node] * connections, count):
        await trio.sleep_forever()


async def peer_client(port: int, connections: int, count: Count) -> None:
    from websockets.trio.client import connect as connect_peer

    async def receive() -> None:
        async with connect_peer(f"ws://{HOST}:{port}", compression=None) as connection:
            async for _ in connection:
                count(1)

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(receive)


@asynccontextmanager
async def flow(nodes: list[dict[str, Any]], count: Count) -> AsyncIterator[str]:
    """Run a flow of the nodes and a sink that counts; yields the first node's status text."""

    @io_node("count", outlets=())
    async def counting(config: Config, io: NodeIO) -> None:
        """Count and confirm."""
        while True:
            deliveries = await io.take_many()
            for delivery in deliveries:
                delivery.confirm()
            count(len(deliveries))

    named = {f"ws{number}": node for number, node in enumerate(nodes)}
    wires = [[name, "sink"] for name in named]
    value = {"nodes": {**named, "sink": {"type": "count"}}, "wires": wires}
    async with run_flow(value, [counting]) as running:
        await running.wait_running()
        yield running.status("ws0").text


# ---- flowbus and its peer as servers


Serve = Callable[[Count, trio.Event, list[int]], Awaitable[None]]


async def as_server(serve: Serve, size: int, connections: int, seconds: float) -> Figures | None:
    """Return the figures of a server; None where its library is not installed."""

    async def receive(meter: Meter) -> None:
        listening, port = trio.Event(), [0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, meter, listening, port)
            await listening.wait()
            with load("dial", size, connections, port[0]):
                await trio.sleep_forever()

    return await measured(receive, seconds)


async def channel_server(count: Count, listening: trio.Event, port: list[int]) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        request = await read_request(stream)
        await answer(stream, request, Decision())
        channel = Limits().channel(stream, is_client=False, rest=request.rest)
        while True:
            count(len(await channel.receive()))

    listeners = await trio.open_tcp_listeners(0, host=HOST)
    port[0] = listeners[0].socket.getsockname()[1]
    listening.set()
    await trio.serve_listeners(handle, listeners)


async def flow_server(count: Count, listening: trio.Event, port: list[int]) -> None:
    async with flow([{"type": "websocket-server", "host": HOST, "port": 0}], count) as text:
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


def main() -> None:
    print(table([from_dict(row) for row in trio.run(run, "quick" in sys.argv)]))


if __name__ == "__main__":
    main()
