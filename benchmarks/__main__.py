"""``python -m benchmarks``: measure, print the table, write benchmarks/results/latest.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import chains, machine, modules, node_red, rows, startup, through
from benchmarks.node_red import NodeRed
from benchmarks.process import BenchError
from benchmarks.rows import Row
from benchmarks.systems import FlowbusSystem, NodeRedSystem, System

HERE = Path(__file__).parent
LATEST = HERE / "results" / "latest.json"
DEMO = HERE.parent / "flows" / "demo.json"
GROUPS = ("chains", "through", "startup", *modules.NAMES)


@dataclass(frozen=True)
class Effort:
    """How long each part takes."""

    chain_seconds: float
    chain_repeat: int
    through: through.Size
    starts: int
    idle: float  # s
    module: float  # s that a protocol module may take
    chain_budget: float  # s after which no further turn of the chains begins
    through_budget: float  # s, the same for the pipeline


LADDER = (12_000, 16_000, 20_000, 26_000, 34_000)
FULL = Effort(1.0, 3, through.Size(3, 3.0, 60_000, LADDER), 3, 5.0, 180.0, 80.0, 200.0)
QUICK = Effort(0.3, 1, through.Size(1, 1.5, 20_000, LADDER[1:4]), 1, 1.5, 60.0, 0.0, 0.0)


def main() -> int:
    options = _options()
    effort = QUICK if options.quick else FULL
    peer = None if options.no_peer else node_red.find()
    load = os.getloadavg()[0]
    notes = [] if load < 0.5 else [f"the machine was not idle before the run: load {load:.1f}"]
    if options.quick:
        notes.append("quick mode: one short run each, read it as a smoke test")
    if peer is None and not options.no_peer:
        notes.append("no Node-RED found, so no ratios: benchmarks/install_peers.sh installs it")
    found: list[Row] = []
    for name in options.only or GROUPS:
        began = time.monotonic()
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            new = _group(name, effort, peer, options.quick)()
        except BenchError as error:
            notes.append(f"{name}: not measured: {error}")
            print(f"{name}: not measured: {error}", file=sys.stderr)
            continue
        found += new
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        print(rows.table(new), file=sys.stderr, flush=True)
    line = machine.describe()
    print(json.dumps(line, ensure_ascii=False))
    print("".join(f"note: {note}\n" for note in notes))
    print(rows.table(found))
    rows.write(options.out, line, found, notes)
    return 0 if found else 1


def _group(name: str, effort: Effort, peer: NodeRed | None, quick: bool) -> Callable[[], list[Row]]:
    """Return what measures one group of rows."""
    systems: list[System] = [FlowbusSystem()]
    if peer is not None:
        systems.append(NodeRedSystem(peer))

    def start() -> list[Row]:
        measured = startup.run(effort.starts, effort.idle, systems)
        if DEMO.exists():
            flow = json.loads(DEMO.read_text(encoding="utf-8"))
            enabled = [key for key, node in flow["nodes"].items() if not node.get("disabled")]
            parts = [*enabled, *flow.get("connections", {})]
            measured += startup.run_demo(DEMO, parts, effort.starts, effort.idle)
        return measured

    return {
        "chains": lambda: chains.run(
            effort.chain_seconds, effort.chain_repeat, peer, effort.chain_budget
        ),
        "through": lambda: through.run(effort.through, systems, effort.through_budget),
        "startup": start,
    }.get(name, lambda: modules.run(name, quick, effort.module))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of ten")
    parser.add_argument("--no-peer", action="store_true", help="measure flowbus alone")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="measure these groups alone")
    parser.add_argument("--out", type=Path, default=LATEST, help="the JSON file to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
