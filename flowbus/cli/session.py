"""One ``flowbus run``: the runtime, and around it what asks it, watches it, and ends it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

import click
import msgspec
import trio

from flowbus.cli.exits import ExitCode
from flowbus.cli.hanging import at, hanging, wait_overdue
from flowbus.cli.reportfile import ReportFile
from flowbus.cli.stopping import GRACE, Stopping
from flowbus.control import ControlServer
from flowbus.errors import ConfigError
from flowbus.flowfile import FlowFile
from flowbus.logs import running_node
from flowbus.plugins import Registry
from flowbus.runtime import Exit, Runtime
from flowbus.secrets import Redactor
from flowbus.storage import StateDirectory, prepare_socket

log = logging.getLogger("flowbus.run")

SHOW_CURSOR = "\x1b[?25h\n"  # a live table hides it

#: What draws a running flow until it is cancelled.
Watch = Callable[[Runtime], Awaitable[None]]


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. Times in seconds."""

    drain: float
    duration: float | None = None
    report: ReportFile | None = None
    watch: Watch | None = None


class Session:
    """Runs a flow once in this process. ``clean`` undoes what a hard end would leave behind."""

    def __init__(
        self,
        flow: FlowFile,
        registry: Registry,
        state: StateDirectory,
        redactor: Redactor,
        wishes: Wishes,
        clean: Callable[[], None],
    ) -> None:
        self._flow = flow
        self._registry = registry
        self._state = state
        self._redactor = redactor
        self._wishes = wishes
        self._clean = clean
        self._stopping = Stopping(wishes.drain)
        self._scope = trio.CancelScope()
        self._exit: Exit | None = None
        self._runtime: Runtime | None = None
        self._no_report = ""
        self._task: trio.lowlevel.Task | None = None

    def run(self) -> int:
        """Run to the end and return the exit code."""
        with self._stopping:
            trio.run(self._main)
        if self._no_report:
            raise ConfigError(self._no_report)
        if self._stopping.signal is not None:
            return 128 + self._stopping.signal
        return ExitCode.UNAVAILABLE if self._exit is Exit.NO_SOURCE else ExitCode.OK

    async def _main(self) -> None:
        self._runtime = runtime = Runtime(
            self._flow, self._registry, redactor=self._redactor, drain=self._wishes.drain
        )
        self._stopping.attach(self._stop, self._cancel, self._kill)
        try:
            async with trio.open_nursery() as nursery:
                self._start_company(nursery, runtime)
                await self._run_flow(runtime, nursery)
                self._stopping.settle()
                nursery.cancel_scope.cancel()
        finally:
            self._write_report()
        self._say_end(runtime)

    def _start_company(self, nursery: trio.Nursery, runtime: Runtime) -> None:
        nursery.start_soon(self._serve_control, runtime, name="control socket")
        if self._wishes.duration is not None:
            nursery.start_soon(self._stop_after, self._wishes.duration, name="--for")
        if self._wishes.watch is not None:
            nursery.start_soon(self._watch, self._wishes.watch, runtime, name="--watch")

    async def _run_flow(self, runtime: Runtime, nursery: trio.Nursery) -> None:
        async def flow() -> None:
            self._task = trio.lowlevel.current_task()
            nursery.start_soon(self._look_for_hanging, self._task, runtime.ending, name="hanging")
            with self._scope:
                self._exit = await runtime.run()

        async with trio.open_nursery() as own:
            own.start_soon(flow, name="flow")

    async def _stop_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._stopping.ask(f"the {seconds:g} s of --for have passed")

    async def _serve_control(self, runtime: Runtime) -> None:
        def status() -> Mapping[str, Any]:
            # What it says is redacted; its own words are none, even where a secret is one of them.
            return {"pid": os.getpid(), "status": runtime.status()}

        def stop() -> Mapping[str, Any]:
            self._stopping.ask("asked through the control socket")
            return {"stopping": True}

        try:
            prepare_socket(self._state.socket, self._state.path)
        except OSError as error:
            log.warning("no control socket: %s: %s", self._state.socket.parent, error.strerror)
            return
        await ControlServer({"status": status, "stop": stop}).serve(self._state.socket)

    async def _watch(self, watch: Watch, runtime: Runtime) -> None:
        try:
            await watch(runtime)
        except Exception:  # who looks on must not end the flow
            log.exception("--watch failed; the flow runs on")

    # ---- the end

    def _stop(self, why: str) -> None:
        log.info("stopping: %s", why)
        if self._runtime is not None:
            self._runtime.stop()

    def _cancel(self) -> None:
        log.warning("ending at once: a second signal came")
        self._scope.cancel()

    def _say_end(self, runtime: Runtime) -> None:
        if self._exit is Exit.NO_SOURCE:
            log.error("every source failed for good:\n%s", failed_sources(runtime.report()))
        elif self._exit is not None:
            log.info("ended: %s", self._exit.value)

    def _write_report(self) -> None:
        if self._wishes.report is None or self._runtime is None:
            return
        target, report = self._wishes.report, self._runtime.report()
        try:
            target.write(report)
        except OSError as error:
            self._no_report = f"the report could not be written: {target.path}: {error}"

    async def _look_for_hanging(self, task: trio.lowlevel.Task, ending: trio.Event) -> None:
        await wait_overdue(task, self._scope, ending, GRACE)
        self._end_hard(ExitCode.BUG, hanging(task))

    def _kill(self, number: int | None, frame: FrameType | None) -> None:
        if number is not None:
            self._end_hard(128 + number, [])
        name = running_node()
        where = "" if frame is None else at(frame, frame.f_lineno)
        who = f"node or connection {name}" if name else "a task"
        self._end_hard(ExitCode.BUG, [f"{who} holds up the whole program{where}"])

    def _end_hard(self, code: int, culprits: list[str]) -> NoReturn:
        """End the process although tasks still run: they were asked, and do not end."""
        try:
            for culprit in culprits:
                click.echo(f"flowbus: does not end: {self._redactor.redact(culprit)}", err=True)
            if culprits:
                click.echo(
                    "flowbus: ended hard. A node or connection that does not end when it is cancelled, "
                    "or never gives way, is a bug: report these lines to the author of its plugin.",
                    err=True,
                )
                self._write_report()
            if self._wishes.watch is not None and sys.stdout.isatty():
                sys.stdout.write(SHOW_CURSOR)
            sys.stdout.flush()
            self._clean()
        except Exception as error:  # noqa: BLE001 - nothing may keep the process from ending now
            click.echo(f"flowbus: {type(error).__name__}: {error}", err=True)
        finally:
            os._exit(code)


def failed_sources(report: Mapping[str, Any]) -> str:
    """Return the failed nodes of a report with their reasons, one a line."""
    return "\n".join(
        f"{name} ({shown['type']}): {shown['code']}: {shown['text']}"
        for name, shown in report["nodes"].items()
        if shown["state"] == "failed"
    )
