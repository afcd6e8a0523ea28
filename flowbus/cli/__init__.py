"""The ``flowbus`` command. Nothing that only one command needs is imported before that runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from flowbus.cli.exits import ExitCode
from flowbus.errors import ConfigError

#: Where each command is, and what it does: the help needs no import.
COMMANDS = {
    "run": ("flowbus.cli.run:run", "Run a flow until it ends or is stopped."),
    "check": ("flowbus.cli.check:check", "Say what is wrong with a flow file."),
    "nodes": ("flowbus.cli.nodes:nodes", "List node and connection types, and their options."),
    "schema": ("flowbus.cli.schema:schema", "Print the JSON Schema of the flow file."),
    "codes": ("flowbus.cli.codes:codes", "Explain fault codes."),
    "status": ("flowbus.cli.status:status", "Show what a running flow says."),
}


class Commands(click.Group):
    """The built-in commands and those of plugins, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in names, then those of plugins."""
        return [*COMMANDS, *sorted(set(_plugin_commands()) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of this name; None where there is none."""
        if name in COMMANDS:
            module, _, attribute = COMMANDS[name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return _plugin_command(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with; a near name is suggested where there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0].startswith("-"):
                raise
            from flowbus.problem import near, quoted

            text = f"there is no command {quoted(args[0])}{near(args[0], self.list_commands(ctx))}"
            raise click.UsageError(text, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        plugins = sorted((n, p) for n, p in _plugin_commands().items() if n not in COMMANDS)
        if plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, f"from {plugin}") for name, plugin in plugins])


def _plugin_commands() -> dict[str, str]:
    from flowbus import plugins

    commands = plugins.installed().commands
    return {name: commands.plugin_of(name) for name in commands}


def _plugin_command(name: str) -> click.Command | None:
    from flowbus import plugins

    registry = plugins.installed()
    if name not in registry.commands:
        return None
    command = registry.commands.get(name)
    if isinstance(command, click.Command):
        return command
    failed = registry.failed.get(name)
    if failed is None:
        raise ConfigError(
            f"the command {name} of a plugin is a {type(command).__name__}, no click command"
        )
    step = f"; install it with: {failed.install}" if failed.install else ""
    raise ConfigError(
        f"the command {name} of {failed.plugin} cannot be used: {failed.reason}{step}"
    )


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"flowbus {version('flowbus')}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of a bug.")
def program() -> None:
    """Run flows that wire PLCs to cloud endpoints.

    `flowbus COMMAND --help` explains a command. Exit codes: 0 ended or stopped as asked, 2 wrong
    usage, 69 unavailable, 70 a bug in flowbus, 75 state directory in use, 78 bad flow file or
    configuration, 130 and 143 a second SIGINT or SIGTERM.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its code instead
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _code(program.main(arguments, prog_name="flowbus", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except ConfigError as error:
        click.echo(_config_text(error), err=True)
        return ExitCode.CONFIG
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be said in words
        from flowbus.cli.bug import tell
        from flowbus.storage import StateInUseError

        if isinstance(error, StateInUseError):
            click.echo(f"flowbus: {error}", err=True)
            return ExitCode.IN_USE
        tell(error, with_traceback="--debug" in arguments)
        return ExitCode.BUG


def _config_text(error: ConfigError) -> str:
    """Return the problems of a file as they are: they begin with its name, anything else with ours."""
    return str(error) if hasattr(error, "problems") else f"flowbus: {error}"


def _code(returned: Any) -> int:
    return int(returned) if isinstance(returned, int) else ExitCode.OK
