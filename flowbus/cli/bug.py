"""What to say when flowbus itself is wrong."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable
from importlib import metadata

import click

from flowbus.problem import quoted
from flowbus.supervisor import leaves

TRACKERS = ("issues", "bug tracker", "tracker", "bugs")


def tell(
    error: BaseException, *, with_traceback: bool = False, redact: Callable[[str], str] = str
) -> None:
    """Print what went wrong to stderr, and where to report it."""
    if with_traceback:
        click.echo(redact(full_traceback(error)), err=True)
    for leaf in leaves(error):
        text = " ".join(str(leaf).split())
        click.echo(
            redact(f"flowbus: internal error: {type(leaf).__name__}: {text}{_place(leaf)}"),
            err=True,
        )
    click.echo(f"This is a bug in flowbus ({_versions()}). {where_to_report()}", err=True)


def full_traceback(error: BaseException) -> str:
    """Return the whole traceback, groups and causes included."""
    return "".join(traceback.format_exception(error)).rstrip()


def where_to_report() -> str:
    """Return the sentence that says where a bug is to be reported."""
    urls = metadata.metadata("flowbus").get_all("Project-URL") or []
    named = {name.strip().lower(): url.strip() for name, _, url in (u.partition(",") for u in urls)}
    place = next((named[name] for name in TRACKERS if name in named), "flowbus's issue tracker")
    return (
        f"Please report it at {place}, with these lines, the log around them and the flow file "
        "without its secrets; --debug (of run: --log-level debug) shows where it happened."
    )


def _versions() -> str:
    trio = metadata.version("trio")
    return f"flowbus {metadata.version('flowbus')}, Python {platform.python_version()}, trio {trio}"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "flowbus" in frame.filename] or [*frames]
    if not ours:
        return ""
    last = ours[-1]
    return f" (in {last.name}, {quoted(last.filename.rpartition('/')[2])} line {last.lineno})"
