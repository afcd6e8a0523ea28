"""The log: one line a record for people, or one JSON object a line; secrets never get that far."""

from __future__ import annotations

import datetime
import logging
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import orjson
import trio

from flowbus.secrets import Redactor

Level = Literal["debug", "verbose", "info", "warning", "error", "none"]
Format = Literal["console", "json"]

#: What happens with each peer of a server; a plugin logs it at this number.
VERBOSE = 15

LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "verbose": VERBOSE,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "none": logging.CRITICAL + 1,
}
FIELDS = ("node", "code", "state")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}


@contextmanager
def logging_to_stderr(level: Level, form: Format, redactor: Redactor) -> Iterator[None]:
    """Send what everything in this process logs to stderr, until the block ends.

    What Python itself would print there (warnings, errors in threads and finalizers) goes the same
    way, so that it is redacted too.
    """
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    handler = StderrHandler()
    handler.setFormatter((JsonFormatter if form == "json" else ConsoleFormatter)(redactor))
    handler.addFilter(name_the_node)
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    logging.addLevelName(VERBOSE, "VERBOSE")
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = _thread_died, _unraisable
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook, sys.unraisablehook = hooks
        root.setLevel(before)
        root.handlers[:] = handlers


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to what ``sys.stderr`` is at that moment: a live table may stand in for it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """Where the next record goes."""
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        raise AttributeError("the stream is sys.stderr")


def name_the_node(record: logging.LogRecord) -> bool:
    """Give a record the node or connection in whose task it was logged, where it has none."""
    if not hasattr(record, "node"):
        record.node = running_node()
    return True


def running_node() -> str:
    """Return the name of the node or connection whose task runs now, or an empty text."""
    if not trio.lowlevel.in_trio_task():
        return ""
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None:
        kind, _, name = task.name.partition(" ")
        if kind in ("node", "connection"):
            return name
        nursery = task.parent_nursery
        task = None if nursery is None else nursery.parent_task
    return ""


class _Redacting(logging.Formatter):
    """What both formats share: the texts of a record, redacted."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redact = redactor.redact

    def text(self, record: logging.LogRecord) -> str:
        """Return the message; a call with wrong arguments must not lose it."""
        try:
            return self.redact(record.getMessage())
        except (TypeError, ValueError, KeyError):
            return self.redact(f"{record.msg!r} {record.args!r}")

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the traceback that belongs to the record, or an empty text."""
        text = self.formatException(record.exc_info) if record.exc_info else ""
        stack = self.formatStack(record.stack_info) if record.stack_info else ""
        return self.redact("\n".join(part for part in (text, stack) if part))


class ConsoleFormatter(_Redacting):
    """``time level node text``; what does not belong on one line follows indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without control characters that a peer may have sent."""
        when = datetime.datetime.fromtimestamp(record.created)
        node = getattr(record, "node", "")
        text = self.text(record)
        if node:  # it has a column of its own
            text = text.removeprefix(f"{node}: ").removeprefix(f"{node} is ")
        trace = self.traceback(record)
        lines = printable(f"{text}\n{trace}" if trace else text).replace("\n", "\n    ")
        stamp = when.isoformat(" ", "milliseconds")
        return f"{stamp} {record.levelname:<7} {self.redact(node) or '-':<12} {lines}"


class JsonFormatter(_Redacting):
    """One object a line: ``time`` (UTC), ``level``, ``logger``, ``node``, ``text``, and more."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        shown: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        for field in FIELDS:
            if value := getattr(record, field, ""):
                shown[field] = self.redact(str(value))
        shown["text"] = self.text(record)
        if trace := self.traceback(record):
            shown["traceback"] = trace
        return orjson.dumps(_encodable(shown)).decode()


def printable(text: str) -> str:
    """Return ``text`` with control characters, newlines apart, as escapes."""
    return text.translate(_CONTROL)


def _encodable(shown: dict[str, Any]) -> dict[str, Any]:
    """Replace lone surrogates, which undecodable bytes become in Python texts and JSON cannot hold."""
    return {key: value.encode(errors="backslashreplace").decode() for key, value in shown.items()}


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    name = args.thread.name if args.thread is not None else "?"
    info = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger("flowbus").error("thread %s died", name, exc_info=info)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    value: BaseException | None = args.exc_value
    info: Any = (args.exc_type, value, args.exc_traceback)
    trace: tuple[type[BaseException], BaseException, types.TracebackType | None] = info
    log = logging.getLogger("flowbus")
    log.error("%s: %r", args.err_msg or "error ignored in", args.object, exc_info=trace)
