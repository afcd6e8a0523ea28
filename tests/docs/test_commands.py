"""Every command that a page shows exists, with its options; the tables of the README are whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from flowbus.cli import COMMANDS, program
from flowbus.cli.exits import ExitCode
from tests.docs.pages import PAGES, ROOT, every_block, indented, name_of, spans, text_of

SHELL = every_block("sh", "bash", "console")
PLACEHOLDER = re.compile(r"[A-Z]+|\[?[A-Z]+\]?")


def commands_in(line: str) -> list[str]:
    """Return the arguments of ``flowbus`` in a line of a shell, without redirections."""
    found = re.search(
        r"(?:^|[\s/])flowbus(?: ([a-z-][^|>;&]*|[A-Z]+ [^|>;&]*))?$", line.split(" >")[0]
    )
    return [] if found is None or found[1] is None else shlex.split(found[1], comments=True)


def command_of(arguments: list[str]) -> click.Command | None:
    name = arguments[0]
    if name.startswith("-") or PLACEHOLDER.fullmatch(name):
        return program
    command = program.get_command(click.Context(program), name)
    if isinstance(command, click.Group) and len(arguments) > 1:
        return command.get_command(click.Context(command), arguments[1])
    return command


def check_options(arguments: list[str]) -> None:
    command = command_of(arguments)
    assert command is not None, f"there is no command {arguments[0]}"
    known = {"-h", "--help", *(name for p in (*command.params, *program.params) for name in p.opts)}
    for word in arguments[1:]:
        option = word.strip("[]")
        if option.startswith("-"):
            assert option in known, f"{arguments[0]} has no option {option}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_in_blocks_are_understood(block: object) -> None:
    for line in block.text.splitlines():  # type: ignore[attr-defined]
        if arguments := commands_in(line):
            check_options(arguments)
            command = command_of(arguments)
            assert command is not None
            command.make_context(arguments[0], arguments[1:]).close()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_exist(page: Path) -> None:
    for code in (*spans(page), *indented(page)):
        line = code.strip()
        if line.startswith("flowbus ") and (arguments := commands_in(line.replace("|", "/"))):
            check_options(arguments)


def test_commands_are_found_at_all() -> None:
    assert commands_in("flowbus check hello.json") == ["check", "hello.json"]
    assert commands_in("PORT=1 flowbus run x.json # now") == ["run", "x.json"]
    assert commands_in(".venv/bin/flowbus schema > x.json") == ["schema"]
    assert commands_in("flowbus itself has no node:") == ["itself", "has", "no", "node:"]
    with pytest.raises(AssertionError):
        check_options(["run", "x.json", "--forever"])


def test_the_readme_lists_every_command_with_every_option() -> None:
    starts = [span.split()[:2] for span in spans(ROOT / "README.md")]
    shown = {start[1] for start in starts if start[0] == "flowbus" and len(start) == 2}
    assert shown >= COMMANDS.keys()
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in text_of(ROOT / "README.md"), parameter.opts


def test_the_readme_lists_every_exit_code() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \|", text_of(ROOT / "README.md"), re.MULTILINE)
    listed = {int(number) for row in rows for number in row.split(",")}
    assert listed == {int(code) for code in ExitCode}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for code in (*spans(page), *indented(page)):
            if found := re.match(r"make ([a-z]+)", code):
                assert found[1] in targets, f"{name_of(page)}: make {found[1]}"
