"""``flowbus codes``."""

from __future__ import annotations

import click

from flowbus import plugins
from flowbus.cli.table import aligned
from flowbus.faults import Fault, FaultRegistry
from flowbus.problem import near, quoted


@click.command()
@click.argument("code", required=False)
def codes(code: str | None) -> None:
    """Explain the fault code CODE, or list all codes.

    CODE may also be a name, an alias or a number (decimal or hexadecimal), or a part of one.
    """
    registry = _registry()
    if code is None:
        click.echo(_table([*registry.values()]))
        return
    found = registry.find(code.strip())
    if not found:
        raise click.UsageError(f"there is no fault {quoted(code)}{near(code, _words(registry))}")
    if len(found) > 8:
        click.echo(_table(found))
    else:
        click.echo("\n\n".join(describe(fault) for fault in found))


def _registry() -> FaultRegistry:
    registry = plugins.installed()
    faults = registry.faults()
    for name, failed in registry.failed.items():
        click.echo(f"warning: {name} ({failed.plugin}) cannot be read: {failed.reason}", err=True)
    return faults


def _words(registry: FaultRegistry) -> list[str]:
    return [
        word for fault in registry.values() for word in (fault.code, fault.name, *fault.aliases)
    ]


def _table(faults: list[Fault]) -> str:
    rows = [[fault.code, fault.name, fault.cause] for fault in faults]
    return "\n".join(aligned([["CODE", "NAME", "CAUSE"], *rows]))


def describe(fault: Fault) -> str:
    """Return the whole entry of a fault."""
    number = "" if fault.number is None else f"{fault.number} ({fault.number:#x})"
    lines = [
        ("name", fault.name),
        ("number", number),
        ("also", ", ".join(fault.aliases)),
        ("cause", fault.cause),
        ("next step", fault.next_step),
        ("retried", "yes, by itself" if fault.temporary else ""),
    ]
    shown = [["  " + label + ":", text] for label, text in lines if text]
    return "\n".join([fault.code, *aligned(shown)])
