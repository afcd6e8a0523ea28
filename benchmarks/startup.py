"""(c) Start-up until all nodes run, and what a flow costs that has nothing to do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.broker import mosquitto
from benchmarks.process import Process, free_port
from benchmarks.rows import Row, row
from benchmarks.stats import median
from benchmarks.systems import System, all_running, start_flowbus

SETTLE = 2.0  # s between the start and the idle measurement: caches, just-in-time compiler
Sample = tuple[float, float, float]  # start-up s, idle RSS MB, idle CPU %

WHAT = (("start-up to all nodes running", "s"), ("idle RSS", "MB"), ("idle CPU", "% of a core"))
# The example is never idle: it brings a simulated PLC, or other sources, of its own.
DEMO_WHAT = (("start-up to all nodes running", "s"), ("RSS", "MB"), ("CPU", "% of a core"))


def run(repeat: int, idle: float, systems: Sequence[System]) -> list[Row]:
    """Start every system ``repeat`` times in turn and watch it for ``idle`` seconds."""
    samples: list[list[Sample]] = [[] for _ in systems]
    for turn in range(-1, repeat):
        for system, taken in zip(systems, samples, strict=True):
            if turn < 0:
                start(system, 0.0)  # fills the page cache and compiles Python's modules
            else:
                taken.append(start(system, idle))
    ours, theirs = samples[0], samples[1] if len(samples) > 1 else []
    rows = []
    for index, (what, unit) in enumerate(WHAT):
        peer = median(sample[index] for sample in theirs) if theirs else None
        name = systems[1].name if theirs else ""
        rows.append(row(f"pipeline, {what}", unit, median(s[index] for s in ours), peer, name))
    return rows


def start(system: System, idle: float) -> Sample:
    """Start ``system`` on the pipeline of (b) and return what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            mosquitto(folder) as broker,
            system.start(folder / "system", free_port(), broker, 1) as process,
        ):
            return watch(process, process.wait_for(system.is_ready), idle)


def watch(process: Process, started: float, idle: float) -> Sample:
    """Return the figures of a process that runs, ``started`` seconds after it was started."""
    if not idle:
        return started, 0.0, 0.0
    time.sleep(SETTLE)
    cpu = process.cpu_percent(idle)
    return started, process.rss(), cpu


def run_demo(flow: Path, names: Sequence[str], repeat: int, idle: float) -> list[Row]:
    """Start the example flow ``repeat`` times; no peer has an equal of it."""
    taken = []
    for turn in range(-1, repeat):
        with (
            tempfile.TemporaryDirectory() as folder,
            start_flowbus(flow, Path(folder)) as process,
        ):
            started = process.wait_for(all_running(*names))
            sample = watch(process, started, 0.0 if turn < 0 else idle)
            if turn >= 0:
                taken.append(sample)
    return [
        row(f"{flow.name}, {what}", unit, median(sample[index] for sample in taken))
        for index, (what, unit) in enumerate(DEMO_WHAT)
    ]
