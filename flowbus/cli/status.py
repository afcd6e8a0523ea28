"""``flowbus status``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson

from flowbus.cli.exits import ExitCode
from flowbus.cli.rows import Row, rows, states
from flowbus.cli.table import age, aligned
from flowbus.control import NoAnswerError, ask
from flowbus.errors import ConfigError
from flowbus.flowfile import load
from flowbus.flowkeys import NAME
from flowbus.problem import FlowFileError
from flowbus.storage import Owner, owned, owner_of, state_path, state_root

HEAD = [
    "NAME",
    "TYPE",
    "STATE",
    "FOR",
    "IN",
    "OUT",
    "REJECTED",
    "QUEUED",
    "RESTARTS",
    "CODE",
    "TEXT",
]
NUMBERS = range(4, 9)


class NotRunningError(Exception):
    """The flow does not run, or cannot be asked; the text says what to do."""


class SilentError(NotRunningError):
    """A process has the flow but does not say how it is."""


@click.command()
@click.argument("flow", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all details.")
@click.option("--state-dir", metavar="DIR", help="The state directory that the flow was given.")
def status(flow: str | None, as_json: bool, state_dir: str | None) -> ExitCode:
    """Show what the nodes of a running flow say, or list the flows that run.

    FLOW is its file or its name. The exit code is 69 where it does not run.
    """
    try:
        if flow is None and state_dir is None:
            _list(as_json)
        else:
            _show(flow, as_json, state_dir)
    except NotRunningError as error:
        click.echo(f"flowbus: {error}", err=True)
        return ExitCode.UNAVAILABLE
    return ExitCode.OK


def _show(flow: str | None, as_json: bool, state_dir: str | None) -> None:
    name = "" if flow is None else flow_name(flow)
    path = state_path(name, os.environ, state_dir)
    shown = look(path, flow or name)
    if name and shown["flow"] != name:
        raise NotRunningError(f"the flow {name} does not run: in {path} runs {shown['flow']}")
    click.echo(_json(shown) if as_json else table(shown, time.time()))


def flow_name(flow: str) -> str:
    """Return the name of the flow that a file holds, or the name itself."""
    path = Path(flow)
    if not path.is_file() and NAME.fullmatch(flow):
        return flow
    found = load(flow)
    if found.problems and not path.is_file():
        raise FlowFileError(found.problems)
    return found.name


def look(path: Path, wanted: str) -> dict[str, Any]:
    """Return the status of the flow whose state is in ``path``, with ``pid`` and ``state_dir``."""
    try:
        owner = owner_of(path)
    except PermissionError:
        text = f"{path} may be read by its owner only; ask as the user whose flow it is"
        raise ConfigError(text) from None
    if not owner.pid:
        raise NotRunningError(_not_running(path, wanted))
    try:
        answer = ask(Path(owner.socket), "status")
    except PermissionError:
        text = f"process {owner.pid} belongs to another user; ask as the user whose flow it is"
        raise ConfigError(text) from None
    except NoAnswerError as error:
        raise SilentError(f"the flow {owner.flow} (process {owner.pid}): {error}") from None
    except OSError:
        if _is_alive(owner.pid):
            text = (
                f"process {owner.pid} seems to run the flow {owner.flow} but has no control socket"
            )
            raise SilentError(
                f"{text}; it may be starting: try again, or look at its log"
            ) from None
        raise NotRunningError(_not_running(path, wanted, owner)) from None
    return {**answer["status"], "pid": owner.pid, "state_dir": str(path)}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _not_running(path: Path, wanted: str, owner: Owner | None = None) -> str:
    last = "" if owner is None else f" (process {owner.pid} ran it and was killed)"
    file = (owner.file if owner is not None else "") or (
        wanted if Path(wanted).is_file() else "FLOW"
    )
    what = f"the flow {wanted} does not run" if wanted else "no flow runs there"
    chosen = f" --state-dir {path}" if not wanted else ""
    return (
        f"{what}{last}: nobody owns the state directory {path}. "
        f"Start it with: flowbus run {file}{chosen}; if it runs with a state directory of its own, "
        "name that with --state-dir"
    )


def _list(as_json: bool) -> None:
    root = state_root(os.environ)
    found: list[dict[str, Any]] = []
    for path, _ in owned(root):
        try:
            found.append(look(path, path.name))
        except (SilentError, ConfigError) as error:
            click.echo(f"flowbus: {error}", err=True)
        except NotRunningError:
            continue  # killed, its lock file is still there
    if as_json:
        click.echo(_json(found))
    elif found:
        click.echo("\n".join(overview(found)))
    else:
        click.echo(
            f"No flow runs that keeps its state under {root}. Start one with: flowbus run FLOW"
        )


def overview(found: list[dict[str, Any]]) -> list[str]:
    """Return the running flows, one a line."""
    lines = [
        [
            shown["flow"], str(shown["pid"]), age(shown["seconds"]), str(shown["ledger"]["in_flight"]),
            states(rows(shown)),
        ]
        for shown in found
    ]  # fmt: skip
    return aligned([["FLOW", "PID", "FOR", "IN FLIGHT", "STATES"], *lines], {1, 3})


def table(shown: Mapping[str, Any], now: float) -> str:
    """Return the status of a flow as text; ``now`` in Unix seconds."""
    lines = [HEAD, *(_cells(row, now) for row in rows(shown))]
    head = f"{shown['flow']}: process {shown['pid']}, running for {age(shown['seconds'])}"
    counts = (
        f"{count} {key.replace('_', ' ')}"
        for key, count in shown["ledger"].items()
        if key != "sources"
    )
    return "\n".join([head, "", *aligned(lines, NUMBERS), "", "Messages: " + ", ".join(counts)])


def _cells(row: Row, now: float) -> list[str]:
    counts = (row.taken, row.sent, row.rejected, row.depth, row.restarts)
    return [
        row.name, row.type, row.state, age(now - row.since),
        *("" if count is None else str(count) for count in counts),
        row.code, row.text,
    ]  # fmt: skip


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
