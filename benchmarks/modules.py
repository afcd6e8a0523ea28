"""(d) and the protocols: the modules named below, each with ``async def run()``.

Each runs in a process of its own (``python -m benchmarks.modules NAME FILE``), so that one that
hangs or fails costs its own rows only.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import sys
import tempfile
from pathlib import Path

import trio

from benchmarks.process import BenchError, Process, ended, last_lines
from benchmarks.rows import Row, from_dict

NAMES = ("ads", "ads_outage", "mqtt", "websocket", "broadcast")


TRIES = 3  # a peer's library may crash its process: pyads does now and then


def run(name: str, quick: bool, timeout: float) -> list[Row]:
    """Return the rows of module ``name``; BenchError if it does not deliver them in time."""
    for _ in range(TRIES - 1):
        try:
            return _run_once(name, quick, timeout)
        except Crashed:
            continue
    return _run_once(name, quick, timeout)


class Crashed(BenchError):
    """The process of a module was ended by a signal."""


def _run_once(name: str, quick: bool, timeout: float) -> list[Row]:
    if importlib.util.find_spec(f"benchmarks.{name}") is None:
        raise BenchError("this benchmark does not exist yet")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "rows.json"
        args: list[str | Path] = [sys.executable, "-m", "benchmarks.modules", name, result]
        if quick:
            args.append("quick")
        with Process(args, Path(folder) / "log") as process:
            code = process.wait(timeout)
            if code < 0:
                raise Crashed(f"{ended(code)}: {last_lines(process.output)}")
            if code != 0:
                raise BenchError(f"{ended(code)}: {last_lines(process.output)}")
        return [from_dict(value) for value in json.loads(result.read_text(encoding="utf-8"))]


def main() -> None:
    name, result = sys.argv[1:3]
    measure = importlib.import_module(f"benchmarks.{name}").run
    quick = "quick" in sys.argv[3:]
    # A module that can measure less says so by an argument of that name.
    if "quick" in inspect.signature(measure).parameters:
        measure = functools.partial(measure, quick=quick)
    elif quick:
        sys.exit(f"it has no quick mode: python -m benchmarks --only {name}")

    async def call() -> object:
        return await measure()

    Path(result).write_text(json.dumps(trio.run(call)), encoding="utf-8")


if __name__ == "__main__":
    main()
