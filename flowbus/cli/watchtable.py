"""``--watch`` on a terminal: a live table. The only module that imports rich."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowbus.cli.rows import Rates, Row, rows, states
from flowbus.cli.table import age, rate
from flowbus.logs import printable
from flowbus.runtime import Runtime

LOOK = 0.5  # s
COLOURS = {
    "starting": "cyan",
    "running": "green",
    "waiting": "yellow",
    "degraded": "yellow",
    "failed": "bold red",
    "stopped": "dim",
}
AROUND = 5  # lines of the terminal that are no rows


async def watch_table(runtime: Runtime) -> None:
    """Draw on stdout until cancelled; log lines appear above the table."""
    console = Console()
    rates = Rates()
    # Its own refreshing would run in a thread.
    with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        while True:
            live.update(draw(runtime, rates, console.height), refresh=True)
            await trio.sleep(LOOK)


def draw(runtime: Runtime, rates: Rates, height: int) -> Group:
    """Return the table as of now; where there is no room for all, what is in trouble comes first."""
    status = runtime.status()
    found = rows(status)
    speed = rates.look(trio.current_time(), found)
    room = max(height - AROUND, 1)
    if len(found) > room:
        found.sort(key=lambda row: row.state == "running")
    table = Table(box=None, pad_edge=False, expand=True)
    for title in ("NAME", "STATE", "CODE"):
        table.add_column(title, no_wrap=True)
    for title in ("IN/s", "OUT/s", "QUEUED", "RESTARTS"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("TEXT", ratio=1, no_wrap=True)
    for row in found[:room]:
        table.add_row(*_cells(row, speed))
    hidden = f", {len(found) - room} not shown" if len(found) > room else ""
    ledger = status["ledger"]
    head = f"{status['flow']}: {states(found)}{hidden}; running for {age(status['seconds'])}"
    sums = f"{ledger['emitted']} emitted, {ledger['confirmed']} confirmed, {ledger['in_flight']} in flight"
    return Group(Text(f"{head}; {sums}", no_wrap=True, overflow="ellipsis"), table)


def _cells(row: Row, speed: Mapping[str, tuple[float, float]]) -> list[Text]:
    shown = ["", ""] if row.is_connection else [rate(number) for number in speed[row.name]]
    name = Text(printable(row.name), style="bold" if row.is_connection else "")
    state = Text(row.state, style=COLOURS.get(row.state, ""))
    depth = "" if row.depth is None else str(row.depth)
    others = [row.code, *shown, depth, str(row.restarts), row.text.replace("\n", " ")]
    return [name, state, *(Text(printable(text), overflow="ellipsis") for text in others)]
