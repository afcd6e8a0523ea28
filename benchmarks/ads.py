"""ADS reads and notifications per second: flowbus beside pyads in threads, same simulated PLC.

The PLC runs in a process of its own on 127.0.0.77:48898, the only port that pyads dials. `run()`
returns rows of name, unit, flowbus, peer, peer_name and ratio.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import open_link
from flowbus_ads.notes import NoteTable
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol import commands
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.ams import Frame, FrameReader, encode_frame
from flowbus_ads.protocol.constants import REQUEST, Command, Group, TransMode
from flowbus_ads.protocol.notifications import build_stream
from flowbus_ads.protocol.types import codec_for
from flowbus_ads.server import PlcServer
from flowbus_ads.subscriptions import Terms

from flowbus import Config, NodeIO, io_node
from flowbus.testing import run_flow

HOST, NET_ID, PORT = "127.0.0.77", "127.0.0.77.1.1", 851
SECONDS = 2.0
SYMBOLS = 300
NAMES = [f"GVL.n{index}" for index in range(SYMBOLS)]
MANY = [f"GVL.n{index}" for index in range(500)]
CYCLE = 0.001

Row = dict[str, Any]


async def run() -> list[Row]:
    """Measure and return one row a figure. A peer that is not installed leaves its column empty."""
    rows: list[Row] = []
    with simulated_plc():
        for in_flight in (1, 8, 32):
            own = await read_rate(in_flight)
            rows.append(
                row(f"ADS reads, {in_flight} in flight", own, await pyads_read_rate(in_flight))
            )
            rows.append(
                row(f"ADS raw requests, {in_flight} in flight", await request_rate(in_flight), None)
            )
        for items in (100, 500):
            own = await sum_rate(items)
            rows.append(
                row(f"ADS sum read of {items}, values", own, await pyads_sum_rate(items))
            )
        rows.append(row("ADS samples decoded, 10 a frame", decode_rate(10), None))
        peer = await pyads_note_rate()
        rows.append(row("ADS notifications into a callback", await note_rate(), peer))
        rows.append(row("ADS notifications into a flow", await flow_note_rate(), peer))
    return rows


def row(name: str, own: float, peer: float | None) -> Row:
    """Return one row; the ratio is flowbus over peer."""
    ratio = None if not peer else round(own / peer, 2)
    return {
        "name": name, "unit": "1/s", "flowbus": round(own), "peer": peer and round(peer),
        "peer_name": "pyads in threads" if peer else None, "ratio": ratio,
    }  # fmt: skip


@contextmanager
def simulated_plc() -> Iterator[None]:
    """Run the PLC in another process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the simulated PLC could not listen on {HOST}:48898")
        try:
            yield
        finally:
            process.terminate()


async def serve() -> None:
    """Be the simulated PLC."""
    memory = PlcMemory()
    for index, name in enumerate(MANY):
        memory.add(name, "DINT", index)
    server = PlcServer(SimulatedPlc(parse_net_id(NET_ID), PORT, memory), cycle=CYCLE)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, HOST, 48898)
        print("ready", flush=True)


@asynccontextmanager
async def connected() -> AsyncIterator[AdsClient]:
    async with open_link(HOST, 48898, connect_timeout=5.0) as link:
        client = AdsClient(link, NET_ID, PORT)
        await client.start()
        yield client


async def rate(call: Callable[[], Any], workers: int) -> float:
    """Call in ``workers`` tasks for some time; calls per second."""
    done = 0
    start = trio.current_time()
    end = start + SECONDS

    async def work() -> None:
        nonlocal done
        while trio.current_time() < end:
            await call()
            done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(work)
    return done / (trio.current_time() - start)


async def read_rate(in_flight: int) -> float:
    async with connected() as client:
        return await rate(lambda: client.read("GVL.n0"), in_flight)


async def request_rate(in_flight: int) -> float:
    data = commands.read_request(Group.DATA, 0, 4)
    async with connected() as client:
        target = client.target
        return await rate(lambda: target.request(Command.READ, data, "read"), in_flight)


async def sum_rate(items: int) -> float:
    async with connected() as client:
        return items * await rate(lambda: client.read_many(MANY[:items]), 1)


def decode_rate(samples: int) -> float:
    """Return the samples a second from the bytes of frames to values, in this process alone."""
    table = NoteTable(lambda source, own, handle: None)
    server, client = bytes(8), bytes(7) + b"\1"
    decode = codec_for("DINT").decode
    count = 0

    def take(filetime: int, data: bytes) -> None:
        nonlocal count
        decode(data)
        count += 1

    for handle in range(samples):
        table.add(server, handle, take)
    stamps = [(1, [(handle, handle.to_bytes(4, "little")) for handle in range(samples)])]
    frame = Frame(client, server, Command.NOTIFICATION, REQUEST, 0, 0, build_stream(stamps))
    data = 100 * encode_frame(frame)
    reader = FrameReader()
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for each in reader.feed(data):
            table.take(each)
    return count / (time.perf_counter() - start)


async def note_rate() -> float:
    count = 0

    def deliver(name: str, filetime: int, value: Any) -> None:
        nonlocal count
        count += 1

    async with (
        connected() as client,
        client.subscribe(NAMES, deliver, Terms(TransMode.CYCLIC, CYCLE)),
    ):
        count, start = 0, trio.current_time()
        await trio.sleep(SECONDS)
        return count / (trio.current_time() - start)


class NoOptions(Config):
    """Nothing to say."""


async def flow_note_rate() -> float:
    count = 0

    @io_node("benchmark-sink", outlets=())
    async def sink(config: NoOptions, io: NodeIO) -> None:
        """Count what comes."""
        nonlocal count
        while True:
            for delivery in await io.take_many():
                count += 1
                delivery.confirm()

    flow = {
        "connections": {"plc": {"type": "ads", "host": HOST}},
        "nodes": {
            "sub": {
                "type": "ads-subscribe", "connection": "plc", "symbols": NAMES,
                "mode": "cyclic", "cycle_time": CYCLE,
            },
            "sink": {"type": "benchmark-sink"},
        },
        "wires": [["sub", "sink"]],
    }  # fmt: skip
    async with run_flow(flow, types=[sink], drain=1.0) as running:
        await running.wait_running("sub")
        count, start = 0, trio.current_time()
        await trio.sleep(SECONDS)
        return count / (trio.current_time() - start)


# ---- the peer: pyads, one Connection a thread, since one cannot be shared


def pyads_connection() -> Any:
    import pyads

    plc = pyads.Connection(NET_ID, PORT, HOST)
    plc.open()
    return plc


def close_pyads(connections: list[Any]) -> None:
    """Close ports before routes: the other way round AdsLib may crash the process."""
    from pyads import pyads_ex

    for plc in connections:
        pyads_ex.adsPortCloseEx(plc._port)
    for plc in connections:
        pyads_ex.adsDelRoute(plc._adr.netIdStruct())
        plc._port, plc._open = None, False


async def pyads_read_rate(in_flight: int) -> float | None:
    try:
        import pyads
    except ImportError:
        return None
    connections = [pyads_connection() for _ in range(in_flight)]
    handles = [plc.get_handle("GVL.n0") for plc in connections]
    free = list(zip(connections, handles, strict=True))

    async def read() -> None:
        plc, handle = free.pop()
        await trio.to_thread.run_sync(
            lambda: plc.read_by_name("", pyads.PLCTYPE_DINT, handle=handle)
        )
        free.append((plc, handle))

    try:
        return await rate(read, in_flight)
    finally:
        close_pyads(connections)


async def pyads_sum_rate(items: int) -> float | None:
    try:
        plc = pyads_connection()
    except ImportError:
        return None
    names = MANY[:items]
    try:
        return items * await rate(lambda: trio.to_thread.run_sync(plc.read_list_by_name, names), 1)
    finally:
        close_pyads([plc])


async def pyads_note_rate() -> float | None:
    try:
        import pyads
    except ImportError:
        return None
    count = 0
    lock = threading.Lock()
    plc = pyads_connection()

    @plc.notification(pyads.PLCTYPE_DINT)  # type: ignore[untyped-decorator]
    def heard(handle: int, name: str, timestamp: Any, value: Any) -> None:
        nonlocal count
        with lock:
            count += 1

    def measure() -> float:
        attributes = pyads.NotificationAttrib(4, pyads.ADSTRANS_SERVERCYCLE, 0, CYCLE * 1000)
        handles = [plc.add_device_notification(name, attributes, heard) for name in NAMES]
        start, before = time.perf_counter(), count
        time.sleep(SECONDS)
        figure = (count - before) / (time.perf_counter() - start)
        for pair in handles:
            plc.del_device_notification(*pair)
        return figure

    try:
        return await trio.to_thread.run_sync(measure)
    finally:
        close_pyads([plc])


def main() -> None:
    """Print the rows, or be the PLC."""
    if "--serve" in sys.argv:
        trio.run(serve)
        return
    for line in trio.run(run):
        print(
            f"{line['name']:40} {line['flowbus']:>10} {line['peer'] or '':>10} {line['ratio'] or ''}"
        )


if __name__ == "__main__":
    main()
