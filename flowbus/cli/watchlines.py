"""``--watch`` where there is no terminal: a line for each status change, and sums every second."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable

import trio

from flowbus.cli.rows import rows, states
from flowbus.cli.table import rate
from flowbus.logs import printable
from flowbus.runtime import Runtime
from flowbus.status import Status, StatusCell

SUMMARY = 1.0  # s


async def watch_lines(runtime: Runtime) -> None:
    """Write lines to stdout until cancelled, or until nobody reads them any more."""
    parts = runtime.parts
    peers = [(name, peer.cell) for name, peer in parts.connections.items()]
    try:
        async with trio.open_nursery() as nursery:
            for name, cell in (*peers, *parts.cells.items()):
                nursery.start_soon(_tell_changes, name, cell, parts.redactor.redact)
            await _tell_sums(runtime)
    except* BrokenPipeError:
        _forget_stdout()


async def _tell_changes(name: str, cell: StatusCell, redact: Callable[[str], str]) -> None:
    status = cell.value
    while True:
        _write(redact(_line(name, status)))
        status = await cell.wait_change()


def _line(name: str, status: Status) -> str:
    retry = "" if status.retry_in is None else f"(next try in {status.retry_in:.1f} s)"
    words = (name, status.state.value, status.code, status.text, retry)
    return printable(" ".join(word for word in words if word).replace("\n", " "))


async def _tell_sums(runtime: Runtime) -> None:
    before, since = runtime.report()["ledger"], trio.current_time()
    while True:
        await trio.sleep(SUMMARY)
        status, now = runtime.status(), trio.current_time()
        ledger = status["ledger"]
        new, done = (
            rate((ledger[key] - before[key]) / (now - since)) for key in ("emitted", "confirmed")
        )
        flight = f"{ledger['in_flight']} in flight, {ledger['rejected']} rejected"
        _write(
            f"{status['flow']}: {states(rows(status))}; {new} msg/s in, {done} confirmed; {flight}"
        )
        before, since = ledger, now


def _write(line: str) -> None:
    clock = datetime.datetime.now().strftime("%H:%M:%S")
    print(clock, line, flush=True)


def _forget_stdout() -> None:
    """Send what is left to nowhere: Python would complain at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
