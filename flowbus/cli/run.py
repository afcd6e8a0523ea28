"""``flowbus run``."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack

import click

from flowbus import plugins
from flowbus.check import check_file
from flowbus.cli.exits import ExitCode
from flowbus.cli.reportfile import ReportFile
from flowbus.cli.seconds import seconds
from flowbus.cli.session import Session, Watch, Wishes
from flowbus.errors import ConfigError
from flowbus.logs import LEVELS, Format, Level, logging_to_stderr
from flowbus.plan import Checked
from flowbus.runtime import DRAIN
from flowbus.secrets import Redactor
from flowbus.storage import StateDirectory, StateInUseError, state_path

log = logging.getLogger("flowbus.run")


@click.command()
@click.argument("flow")
@click.option("--for", "duration", type=seconds, help="Stop after this time.")
@click.option("--report", metavar="FILE", help="Write the final report to FILE, as JSON.")
@click.option("--state-dir", metavar="DIR", help="Keep the state of the flow in DIR.")
@click.option("--watch", is_flag=True, help="Show a live table of nodes and connections.")
@click.option(
    "--drain", type=seconds, default=DRAIN, show_default=True,
    help="When stopping, wait so long for messages that are in flight.",
)  # fmt: skip
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console")
@click.option("--log-level", type=click.Choice([*LEVELS]), default="info", show_default=True)
def run(
    flow: str,
    duration: float | None,
    report: str | None,
    state_dir: str | None,
    watch: bool,
    drain: float,
    log_format: Format,
    log_level: Level,
) -> int:
    """Run the flow in the file FLOW until it is stopped, or all its sources have ended.

    SIGINT, SIGTERM and --for stop it: no new messages, then an end once nothing is in flight. A
    second signal ends it at once. The log goes to stderr.
    """
    redactor = Redactor()
    with logging_to_stderr(log_level, log_format, redactor):
        registry = plugins.installed()
        checked = _checked(flow, registry, redactor)
        wishes = Wishes(
            drain=drain,
            duration=duration,
            report=_report(report),
            watch=_watch() if watch else None,
        )
        path = state_path(checked.flow.name, os.environ, state_dir)
        try:
            with ExitStack() as cleaning:
                state = StateDirectory.take(path, checked.flow.name, os.environ, flow)
                cleaning.enter_context(state)
                session = Session(checked.flow, registry, state, redactor, wishes, cleaning.close)
                return session.run()
        except ConfigError as error:  # what a file was decoded to may be in it
            raise ConfigError(redactor.redact(str(error))) from error
        except StateInUseError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it has to be said in words
            return _bug(error, redactor)


def _checked(flow: str, registry: plugins.Registry, redactor: Redactor) -> Checked:
    checked = check_file(flow, registry, redactor=redactor).require()
    for problem in checked.warnings:
        log.warning("%s", problem)
    for name, failed in registry.broken_plugins.items():
        log.warning("the plugin %s cannot be used: %s", name, failed.reason)
    return checked


def _report(name: str | None) -> ReportFile | None:
    if name is None:
        return None
    try:
        return ReportFile(name)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise click.BadParameter(
            f"{name} cannot be written: {why}", param_hint="--report"
        ) from None


def _watch() -> Watch:
    if not sys.stdout.isatty():
        from flowbus.cli.watchlines import watch_lines

        return watch_lines
    try:
        from flowbus.cli.watchtable import watch_table
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise ConfigError(
            "--watch needs rich on a terminal: pip install 'flowbus[watch]'"
        ) from None
    return watch_table


def _bug(error: Exception, redactor: Redactor) -> int:
    """Say that flowbus failed: the short text for people, the traceback for the log."""
    from flowbus.cli.bug import full_traceback, tell

    log.debug("%s", full_traceback(error))
    tell(error, redact=redactor.redact)
    return ExitCode.BUG
