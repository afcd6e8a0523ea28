"""(a) Chains inside the engine: messages a second through 1, 5 and 20 nodes, receipts on."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import node_red
from benchmarks.node_red import Node, NodeRed
from benchmarks.process import Process, free_port
from benchmarks.rows import Row, row
from benchmarks.stats import median

LENGTHS = (1, 5, 20)
Rates = dict[tuple[str, int], list[float]]  # by kind or label, and length: messages a second

TIMEOUT = 60.0  # s for one chain
BATCH = 512  # messages that the source of the Node-RED chains emits at once


@dataclass(frozen=True)
class Peer:
    """A kind of node that stands beside one of our kinds of transform."""

    label: str
    make: Callable[[int], Node]
    speed: int  # messages a second through one node, roughly: how many messages to send


# Ours -> theirs. The bare nodes are no node that a user has; they are the floor of Node-RED's engine.
PEERS = {
    "pass-through": (
        Peer("change nodes", node_red.change, 250_000),
        Peer("bare JavaScript nodes", node_red.bare, 600_000),
    ),
    "building": (Peer("function nodes", node_red.function, 100_000),),
}


def run(seconds: float, repeat: int, peer: NodeRed | None, budget: float) -> list[Row]:
    """Measure every chain ``repeat`` times, in turn with the peer; about ``seconds`` each.

    After ``budget`` seconds no further turn begins.
    """
    until = time.monotonic() + budget
    ours: Rates = defaultdict(list)
    theirs: Rates = defaultdict(list)
    for turn in range(repeat):
        if turn and time.monotonic() > until:
            break
        for kind, peers in PEERS.items():
            for length in LENGTHS:
                ours[kind, length].append(flowbus_chain(kind, length, seconds))
                if peer is None:
                    continue
                for other in peers:
                    rate = peer_chain(peer, other, length, seconds)
                    theirs[other.label, length].append(rate)
    return rows_of(ours, theirs)


def rows_of(ours: Rates, theirs: Rates) -> list[Row]:
    """Return a row for each chain and kind of peer node; without a peer, for each chain."""
    rows = []
    for kind, length in ours:
        name, mine = f"chain of {length}, {kind}", median(ours[kind, length])
        beside = [other.label for other in PEERS[kind] if theirs.get((other.label, length))]
        rows += [
            row(name, "msg/s", mine, median(theirs[label, length]), f"{node_red.NAME}, {label}")
            for label in beside
        ]
        if not beside:
            rows.append(row(name, "msg/s", mine))
    return rows


def flowbus_chain(kind: str, length: int, seconds: float) -> float:
    """Return the messages a second of one flowbus chain, run in a process of its own."""
    args = [sys.executable, "-m", "benchmarks.chain", kind, str(length), str(seconds)]
    with tempfile.TemporaryDirectory() as folder, Process(args, Path(folder) / "log") as process:
        process.wait_for(lambda output: "BENCH " in output, TIMEOUT)
        return _rate(process.output)


def peer_chain(peer: NodeRed, kind: Peer, length: int, seconds: float) -> float:
    """Return the messages a second of one Node-RED chain."""
    messages = _whole_batches(kind.speed * seconds / length)
    warmup = _whole_batches(messages / 4)
    flow = node_red.chain(kind.make, length, messages, warmup)
    with (
        tempfile.TemporaryDirectory() as folder,
        peer.start(flow, Path(folder), free_port()) as process,
    ):
        process.wait_for(lambda output: "BENCH " in output, TIMEOUT)
        return _rate(process.output)


def _whole_batches(messages: float) -> int:
    return max(1, round(messages / BATCH)) * BATCH


def _rate(output: str) -> float:
    """Read the line ``BENCH {"seconds": ..., "messages": ...}`` that both sides print."""
    result = json.loads(output.partition("BENCH ")[2].partition("\n")[0])
    return float(result["messages"]) / float(result["seconds"])
