"""The log: both formats, levels, and that no secret gets through."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import warnings

import pytest
import trio

from flowbus.logs import VERBOSE, Format, Level, logging_to_stderr
from flowbus.secrets import Redactor

SECRET = "hunter2 & hunter3"
FORMATS: tuple[Format, ...] = ("console", "json")


def redactor() -> Redactor:
    found = Redactor()
    found.add(SECRET)
    return found


def test_a_console_line_has_time_level_node_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("info", "console", redactor()):
        logging.getLogger("flowbus.x").warning("is %s", "late", extra={"node": "drive"})
        logging.getLogger("other").info("plain")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING drive        is late", first
    )
    assert second.endswith(" INFO    -            plain")


@pytest.mark.parametrize("text", ["drive: ads.0x1 gone", "drive is ads.0x1 gone"])
def test_the_node_is_not_said_twice(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("info", "console", redactor()):
        logging.getLogger("x").info(text, extra={"node": "drive"})
    assert capsys.readouterr().err.endswith(" drive        ads.0x1 gone\n")


def test_a_json_line_has_the_same_and_what_machines_want(
    capsys: pytest.CaptureFixture[str],
) -> None:
    extra = {"node": "drive", "code": "ads.0x1", "state": "waiting"}
    with logging_to_stderr("info", "json", redactor()):
        logging.getLogger("flowbus.x").warning("a\nb \ud800", extra=extra)
    shown = json.loads(capsys.readouterr().err)
    assert shown.pop("time").endswith("+00:00")
    assert shown == {"level": "warning", "logger": "flowbus.x", **extra, "text": "a\nb \\ud800"}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["d", "v", "i", "w", "e"]),
        ("verbose", ["v", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
        ("none", []),
    ],
)
def test_levels(level: Level, expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(level, "console", redactor()):
        log = logging.getLogger("x")
        log.debug("d")
        log.log(VERBOSE, "v")
        for call, text in ((log.info, "i"), (log.warning, "w"), (log.error, "e")):
            call(text)
    assert [line[-1] for line in capsys.readouterr().err.splitlines()] == expected


def fail() -> None:
    password = SECRET
    raise RuntimeError(f"cannot log in with {password}")


@pytest.mark.parametrize("form", FORMATS)
def test_secrets_are_redacted_in_texts_arguments_fields_and_tracebacks(
    form: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr("info", form, redactor()):
        log = logging.getLogger("x")
        log.info("plain %s", SECRET)
        log.info("bad arguments %d %d", SECRET)
        log.info("field", extra={"node": SECRET, "code": SECRET})
        log.info("as json %s, as url %s", json.dumps(SECRET), "hunter2%20%26%20hunter3")
        try:
            fail()
        except RuntimeError:
            log.exception("failed", stack_info=True)
    text = capsys.readouterr().err
    assert "hunter" not in text
    assert text.count("***") >= 6
    assert "RuntimeError" in text


@pytest.mark.parametrize("form", FORMATS)
def test_what_python_itself_would_print_is_redacted_too(
    form: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    class Careless:
        def __del__(self) -> None:
            fail()

    with logging_to_stderr("info", form, redactor()):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join(10)
        careless = Careless()
        del careless
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(SECRET, stacklevel=1)
    text = capsys.readouterr().err
    assert text.count("RuntimeError: cannot log in with ***") == 2
    assert "Warning: ***" in text
    assert "hunter2" not in text


def test_a_peer_cannot_fake_lines_or_colours(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr("info", "console", redactor()):
        logging.getLogger("x").info("%s", "a\r\n2026-01-01 ERROR \x1b[31mfake\x9b")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("a\\x0d")
    assert second == "    2026-01-01 ERROR \\x1b[31mfake\\x9b"


async def test_a_record_gets_the_node_in_whose_task_it_was_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def shout() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deeper)

    async def deeper() -> None:
        logging.getLogger("somebody.else").info("hello")

    with trio.fail_after(5), logging_to_stderr("info", "console", redactor()):
        logging.getLogger("x").info("outside")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shout, name="node drive")
    outside, hello = capsys.readouterr().err.splitlines()
    assert outside.endswith(" -            outside")
    assert hello.endswith(" drive        hello")


def test_everything_is_as_before_afterwards() -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:], threading.excepthook, sys.unraisablehook)
    with logging_to_stderr("none", "json", redactor()):
        assert root.handlers != before[1]
    assert (root.level, root.handlers, threading.excepthook, sys.unraisablehook) == before
