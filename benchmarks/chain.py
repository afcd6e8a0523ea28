"""One chain inside flowbus, in a process of its own: ``python -m benchmarks.chain KIND LENGTH SECONDS``.

The flow is source -> LENGTH transforms -> sink. The source sends new messages for SECONDS after a
warm-up and waits, as any source does, while the wire is full; the sink confirms every message; the
ledger must account for all of them. Prints ``BENCH {"seconds": ..., "messages": ...}``.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

import trio

from flowbus import Config, Message, NodeIO, io_node, transform
from flowbus.testing import run_flow

WARM_UP = 0.3  # s
BATCH = 64  # messages that the source hands over at once, as the node ``inject`` does


class NoOptions(Config):
    """A node without options."""


@transform("pass-through")
def pass_through(message: Message, config: NoOptions) -> Message:
    """Return the message as it came."""
    return message


@transform("building")
def building(message: Message, config: NoOptions) -> Message:
    """Return a new message with a new payload."""
    return message.with_payload({"value": message.payload["value"] + 1})


def flow_of(kind: str, length: int) -> dict[str, Any]:
    """Return the flow's value."""
    names = ["source", *(f"n{index}" for index in range(length)), "sink"]
    types = {"source": "chain-source", "sink": "chain-sink"}
    return {
        "nodes": {name: {"type": types.get(name, kind)} for name in names},
        "wires": [list(pair) for pair in itertools.pairwise(names)],
    }


async def measure(kind: str, length: int, seconds: float) -> tuple[float, int]:
    """Return the seconds measured and the messages that the sink confirmed in them."""
    confirmed = 0
    finished = trio.Event()

    @io_node("chain-source")
    async def source(config: NoOptions, io: NodeIO) -> None:
        io.connected()
        until = time.monotonic() + WARM_UP + seconds
        number = 0
        while time.monotonic() < until:
            batch = range(number, number + BATCH)
            await io.send_many([Message({"value": value}, "bench") for value in batch])
            number += BATCH
        finished.set()

    @io_node("chain-sink", outlets=())
    async def sink(config: NoOptions, io: NodeIO) -> None:
        nonlocal confirmed
        while True:
            for delivery in await io.take_many():
                delivery.confirm()
                confirmed += 1

    types = (source, sink, pass_through, building)
    async with run_flow(flow_of(kind, length), types) as flow:
        await trio.sleep(WARM_UP)
        began, before = time.monotonic(), confirmed
        await finished.wait()
        await flow.wait_settled()
        took, messages = time.monotonic() - began, confirmed - before
        ledger = flow.report()["ledger"]
        if ledger["emitted"] != ledger["confirmed"] or ledger["confirmed"] != confirmed:
            raise RuntimeError(f"the ledger does not account for every message: {ledger}")
        return took, messages


def main() -> None:
    kind, length, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    took, messages = trio.run(measure, kind, length, seconds)
    print("BENCH " + json.dumps({"seconds": took, "messages": messages}))


if __name__ == "__main__":
    main()
