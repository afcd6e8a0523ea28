"""``flowbus check``."""

from __future__ import annotations

import click

from flowbus import plugins
from flowbus.check import check_file
from flowbus.cli.exits import ExitCode
from flowbus.plan import Checked


@click.command()
@click.argument("flow")
def check(flow: str) -> ExitCode:
    """Say what is wrong with the flow file FLOW.

    Every error and warning is a line on stderr: file:line:column: path: message. The exit code is
    0 where the flow can run, even with warnings, and 78 where it cannot.
    """
    checked = check_file(flow, plugins.installed())
    for problem in checked.problems:
        click.echo(str(problem), err=True)
    if not checked.ok:
        click.echo(_count(len(checked.errors), "error"), err=True)
        return ExitCode.CONFIG
    click.echo(f"{flow}: ok: {summary(checked)}")
    return ExitCode.OK


def summary(checked: Checked) -> str:
    """Return how much there is in a flow, in words."""
    flow = checked.flow
    parts = [(flow.nodes, "node"), (flow.connections, "connection"), (flow.wires, "wire")]
    counts = ", ".join(_count(len(part), word) for part, word in parts)
    return counts + (f", {len(flow.disabled)} disabled" if flow.disabled else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
