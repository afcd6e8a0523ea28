"""The program itself: help, usage, plugin commands, and what it says when it is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from flowbus import cli, storage
from flowbus.cli import main
from flowbus.errors import ConfigError

Captured = pytest.CaptureFixture[str]


def test_the_help_names_every_command_and_loads_none(capsys: Captured) -> None:
    sys.modules.pop("flowbus_stage_nodes", None)
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("run", "check", "nodes", "schema", "codes", "status"):
        assert f"\n  {name} " in shown
    assert "stage-hello   from flowbus-stage" in shown
    assert "flowbus_stage_nodes" not in sys.modules


@pytest.mark.parametrize("name", ["run", "check", "nodes", "schema", "codes", "status"])
def test_each_command_explains_itself(name: str, capsys: Captured) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: flowbus {name}" in capsys.readouterr().out


def test_the_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("flowbus 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--nonsense"],
        ["run"],
        ["run", "a", "b"],
        ["run", "a.json", "--for", "soon"],
        ["run", "a.json", "--for", "-1"],
        ["run", "a.json", "--drain", "inf"],
        ["run", "a.json", "--log-level", "loud"],
        ["check"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 2
    assert "Usage:" in capsys.readouterr().err


def test_a_near_command_is_suggested(capsys: Captured) -> None:
    assert main(["statsu"]) == 2
    assert 'there is no command "statsu" (did you mean "status"?)' in capsys.readouterr().err


def test_a_plugin_s_command_runs(capsys: Captured) -> None:
    assert main(["stage-hello", "--name", "line"]) == 0
    assert capsys.readouterr().out == "hello line\n"


def test_a_plugin_s_command_that_does_not_load_says_why(capsys: Captured) -> None:
    assert main(["stage-broken"]) == 78
    shown = capsys.readouterr().err
    assert "stage-broken of flowbus-stage cannot be used: AttributeError" in shown


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Have the command ``raise`` raise what a test puts in."""
    errors: list[BaseException] = []

    @click.command("raise")
    def command() -> None:
        raise errors[0]

    monkeypatch.setattr(cli.program, "get_command", lambda ctx, name: command)
    return errors


def test_a_bug_is_told_in_few_words(raising: list[BaseException], capsys: Captured) -> None:
    raising.append(ExceptionGroup("many", [ZeroDivisionError("by\nzero"), KeyError("x")]))
    assert main(["raise"]) == 70
    shown = capsys.readouterr().err
    assert "flowbus: internal error: ZeroDivisionError: by zero" in shown
    assert "KeyError: 'x'" in shown
    assert "bug in flowbus (flowbus 0." in shown
    assert "Please report it at" in shown
    assert "Traceback" not in shown
    assert main(["--debug", "raise"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_exit_codes_of_errors_that_are_no_bugs(
    raising: list[BaseException], capsys: Captured
) -> None:
    cases = [
        (ConfigError("the port is taken"), 78),
        (storage.StateInUseError(Path("/x"), 17), 75),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
    ]
    for error, code in cases:
        raising[:] = [error]
        assert main(["raise"]) == code
    shown = capsys.readouterr().err
    assert "flowbus: the port is taken" in shown
    assert "process 17" in shown


def test_nothing_heavy_is_imported_for_a_run() -> None:
    code = """
import sys, flowbus.cli, flowbus.cli.run
heavy = {"rich", "difflib", "flowbus.schema", "flowbus.cli.watchtable", "flowbus.cli.watchlines"}
print(*heavy.intersection(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowbus.cli", "--version"], capture_output=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"flowbus ")


def test_letters_that_the_terminal_lacks_are_no_error() -> None:
    code = "import sys, flowbus.cli as c; c.main(['--version']); print('\\u2192')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60,
        env={"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.stdout.endswith(b"\\u2192\n")
