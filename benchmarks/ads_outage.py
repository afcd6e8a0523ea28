"""What the outages of one PLC cost the reads of another, in one flow: latency with and without.

A flow reads one PLC every 2 ms and subscribes to 200 symbols of another, which every three seconds
cuts the connection, is mute for a second, and comes back. The PLCs are processes of their own; with
two CPUs the flow has one for itself, and the bad PLC gives way to the good one, so that their own
work is not measured. `run()` returns rows of name, unit, flowbus, peer and ratio; the peer is the
same flow with a second PLC that does not fail.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import trio
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.server import PlcServer

from benchmarks.rows import row
from benchmarks.stats import percentile
from flowbus import Message
from flowbus.testing import run_flow

GOOD, BAD, PORT = "127.0.0.78", "127.0.0.79", 48898
SYMBOLS = [f"GVL.n{index}" for index in range(200)]
EVERY = 0.002  # s between two reads
FIGURES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "worst": 100.0}

FLOW: dict[str, Any] = {
    "connections": {
        "good": {"type": "ads", "host": GOOD},
        "bad": {"type": "ads", "host": BAD, "timeout": 0.3, "heartbeat": 0.1},
    },
    "nodes": {
        "subscribe": {"type": "ads-subscribe", "connection": "bad", "symbols": SYMBOLS},
        "values": {"type": "test-sink"},
        "ask": {"type": "test-source"},
        "read": {"type": "ads-read", "connection": "good", "symbol": "GVL.n7"},
        "answers": {"type": "test-sink"},
    },
    "wires": [["subscribe", "values"], ["ask", "read"], ["read", "answers"]],
}


async def run(quick: bool = False) -> list[dict[str, Any]]:
    """Measure with and without outages; one row a percentile, in ms."""
    seconds = 6.0 if quick else 30.0
    calm = await latencies(seconds, outages=False)
    beside = await latencies(seconds, outages=True)
    return [
        asdict(
            row(
                f"ADS read beside a PLC that fails, {name}", "ms",
                1000 * percentile(beside, percent), 1000 * percentile(calm, percent),
                "itself, without failures",
            )
        )
        for name, percent in FIGURES.items()
    ]  # fmt: skip


async def latencies(seconds: float, *, outages: bool) -> list[float]:
    """Return the seconds that each read took."""
    found: list[float] = []
    with plc(GOOD), plc(BAD, "outages" if outages else "calm"), alone():
        async with run_flow(FLOW) as flow:
            await flow.wait_running("good", "bad", "read")
            end = trio.current_time() + seconds
            while (start := trio.current_time()) < end:
                flow.put_soon("ask", Message(None))
                await flow.get("answers")
                found.append(trio.current_time() - start)
                await trio.sleep(EVERY)
    return found


@contextmanager
def alone() -> Iterator[None]:
    """Keep the first CPU for this process, where there is another."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def plc(host: str, *how: str) -> Iterator[None]:
    """Run a simulated PLC in another process."""
    command = [sys.executable, "-m", "benchmarks.ads_outage", "--serve", host, *how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, ExitStack() as stack:
        stack.callback(process.terminate)
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the simulated PLC could not listen on {host}:{PORT}")
        yield


async def serve(host: str, *how: str) -> None:
    """Be a simulated PLC; with ``outages`` one that fails."""
    others = os.sched_getaffinity(0)
    if len(others) > 1:
        os.sched_setaffinity(0, others - {min(others)})
    if how:
        os.nice(19)
    memory = PlcMemory()
    for index, name in enumerate(SYMBOLS):
        memory.add(name, "DINT", index)
    server = PlcServer(SimulatedPlc(parse_net_id(f"{host}.1.1"), 851, memory))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, host, PORT)
        print("ready", flush=True)
        while "outages" in how:
            await trio.sleep(1)
            server.drop_clients()
            await trio.sleep(1)
            server.switches.mute = True
            await trio.sleep(1)
            server.switches.mute = False


def main() -> None:
    """Print the rows, or be a PLC."""
    if "--serve" in sys.argv:
        trio.run(functools.partial(serve, *sys.argv[2:]))
        return
    for line in trio.run(run):
        print(f"{line['name']:45} {line['flowbus']:>8} {line['peer']:>8} {line['unit']}")


if __name__ == "__main__":
    main()
