"""(b) 200 B JSON messages from a WebSocket through json, switch and map to MQTT, QoS 0 and 1."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.broker import mosquitto
from benchmarks.process import BenchError, Process, free_port, last_lines
from benchmarks.rows import Row, row
from benchmarks.stats import median
from benchmarks.systems import TOPIC, System

RATES = (1000, 5000)  # messages a second offered
QUALITIES = (0, 1)
LADDER_STEP = 1.2  # s
TIMEOUT = 60.0  # s for one load


@dataclass(frozen=True)
class Size:
    """How much is measured: runs, seconds at each rate, messages flat out, steps of the ladder."""

    repeat: int
    seconds: float
    messages: int
    ladder: tuple[int, ...]  # messages a second offered in search of the most that is sustained


@dataclass
class Figures:
    """What one system showed at one QoS; a list holds a figure of each run."""

    sustained: list[float] = field(default_factory=list)  # msg/s
    flat_out: list[float] = field(default_factory=list)  # msg/s
    peak_rss: list[float] = field(default_factory=list)  # MB
    cpu_each: list[float] = field(default_factory=list)  # µs a message, at the sustained rate
    p50: dict[int, list[float]] = field(default_factory=lambda: {rate: [] for rate in RATES})  # ms
    p99: dict[int, list[float]] = field(default_factory=lambda: {rate: [] for rate in RATES})  # ms
    cpu: dict[int, list[float]] = field(default_factory=lambda: {rate: [] for rate in RATES})  # %
    lost: int = 0
    duplicate: int = 0
    out_of_order: int = 0


def run(size: Size, systems: Sequence[System], budget: float) -> list[Row]:
    """Measure every system in turn, ``size.repeat`` times; the first one is flowbus.

    After ``budget`` seconds no further turn begins.
    """
    until = time.monotonic() + budget
    figures = {qos: [Figures() for _ in systems] for qos in QUALITIES}
    for turn in range(size.repeat):
        if turn and time.monotonic() > until:
            break
        for qos in QUALITIES:
            # Who goes first changes: neither is always the one on the warmer machine.
            order = list(zip(systems, figures[qos], strict=True))
            for system, figure in order if turn % 2 == 0 else reversed(order):
                measure(system, qos, size, figure)
    names = [system.name for system in systems]
    return [made for qos in QUALITIES for made in rows_of(qos, figures[qos], names)]


def rows_of(qos: int, figures: Sequence[Figures], names: Sequence[str]) -> list[Row]:
    """Return the rows of one QoS from the figures of flowbus and, if it took part, of the peer."""
    ours = figures[0]
    theirs = figures[1] if len(figures) > 1 else None
    peer = names[1] if theirs else ""

    def at_rate(figure: str, rate: int) -> Callable[[Figures], float]:
        return lambda figures: median(getattr(figures, figure)[rate])

    def one(what: str, unit: str, value: Callable[[Figures], float]) -> Row:
        other = value(theirs) if theirs else None
        return row(f"WebSocket to MQTT QoS {qos}, {what}", unit, value(ours), other, peer)

    rows = [
        one("sustained", "msg/s", lambda f: median(f.sustained)),
        one("sustained, CPU time", "µs CPU/msg", lambda f: median(f.cpu_each)),
        one("burst, flat out", "msg/s", lambda f: median(f.flat_out)),
        one("burst, peak RSS", "MB", lambda f: median(f.peak_rss)),
    ]
    for rate in RATES:
        at = f"{rate // 1000} k/s offered"
        rows += [
            one(f"{at}, p50", "ms", at_rate("p50", rate)),
            one(f"{at}, p99", "ms", at_rate("p99", rate)),
            one(f"{at}, CPU", "% of a core", at_rate("cpu", rate)),
        ]
    rows += [
        one("all runs, lost", "messages", lambda f: f.lost),
        one("all runs, duplicate", "messages", lambda f: f.duplicate),
        one("all runs, out of order", "messages", lambda f: f.out_of_order),
    ]
    return rows


def measure(system: System, qos: int, size: Size, figures: Figures) -> None:
    """Start ``system``, offer it each rate, then a burst flat out, and add to ``figures``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with mosquitto(folder) as broker:
            port = free_port()
            with system.start(folder / "system", port, broker, qos) as process:
                process.wait_for(system.is_ready)
                for rate in RATES:
                    cpu = process.cpu()
                    seen = load(folder, port, broker, int(rate * size.seconds), rate)
                    if "p50" not in seen:
                        raise BenchError(f"no message came through: {last_lines(process.output)}")
                    figures.cpu[rate].append(100 * (process.cpu() - cpu) / size.seconds)
                    figures.p50[rate].append(seen["p50"])
                    figures.p99[rate].append(seen["p99"])
                    _count(figures, seen)
                # Flat out counts too: a system with backpressure may be at its best there.
                steps = [(int(rate * LADDER_STEP), rate) for rate in size.ladder]
                best = (0.0, 0.0)
                for count, rate in [*steps, (size.messages, 0)]:
                    cpu = process.cpu()
                    seen = load(folder, port, broker, count, rate)
                    got = 1e6 * seen["unique"] / max(1, seen["last"] - seen["first_sent"])
                    best = max(best, (got, 1e6 * (process.cpu() - cpu) / count))
                    _count(figures, seen)
                figures.sustained.append(best[0])
                figures.cpu_each.append(best[1])
                figures.flat_out.append(got)
                figures.peak_rss.append(process.peak_rss())


def load(folder: Path, port: int, broker: int, count: int, rate: float) -> dict[str, Any]:
    """Send ``count`` messages through the system and return what the receiver saw.

    At a rate, the first fifth is a warm-up: it is counted but not in the latencies.
    """
    skip = count // 5 if rate else 0
    receive = _own("receiver", port=broker, topic=TOPIC, count=count, skip=skip)
    generate = _own("generator", port=port, count=count, rate=rate)
    with Process(receive, folder / "receiver.log") as receiver:
        receiver.wait_for(lambda output: "ready" in output)
        with Process(generate, folder / "generator.log") as generator:
            receiver.wait(TIMEOUT)
            seen: dict[str, Any] = json.loads(receiver.output.splitlines()[1])
            sent = json.loads(generator.output.splitlines()[0])
            seen["first_sent"] = sent["first"]
            seen["sending"] = (sent["last"] - sent["first"]) / 1e6
            generator.close_stdin()
            generator.wait(5)
    return seen


def _own(module: str, **options: object) -> list[str]:
    """Return the command line of a module of this package."""
    args = [sys.executable, "-m", f"benchmarks.{module}"]
    for name, value in options.items():
        args += [f"--{name}", str(value)]
    return args


def _count(figures: Figures, seen: dict[str, Any]) -> None:
    figures.lost += seen["lost"]
    figures.duplicate += seen["duplicate"]
    figures.out_of_order += seen["out_of_order"]
