"""``flowbus nodes``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import click
import orjson

from flowbus import plugins
from flowbus.cli.table import aligned
from flowbus.connections import ConnectionType
from flowbus.node import NodeType
from flowbus.plugins import Registry
from flowbus.problem import near, quoted
from flowbus.shape import Option, json_text, options

Kind = NodeType | ConnectionType


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def nodes(type_name: str | None, as_json: bool) -> None:
    """List node and connection types, or describe TYPE with its options."""
    registry = plugins.installed()
    shown = describe_all(registry)
    if type_name is not None:
        shown = only(shown, type_name)
    if as_json:
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    elif type_name is not None:
        click.echo("\n\n".join(details(kind) for kind in (*shown["nodes"], *shown["connections"])))
    else:
        click.echo(overview(shown))


def describe_all(registry: Registry) -> dict[str, list[dict[str, Any]]]:
    """Return every type, and what failed to load, as ``flowbus nodes --json`` prints it."""
    failed = [
        {"name": name, "plugin": f.plugin, "reason": f.reason, "install": f.install}
        for name, f in registry.broken_plugins.items()
    ]
    found = {
        "nodes": [*_described(registry.nodes, failed)],
        "connections": [*_described(registry.connections, failed)],
    }
    failed += [
        {"name": name, "plugin": f.plugin, "reason": f.reason, "install": f.install}
        for name, f in registry.failed.items()
    ]
    return {**found, "failed": sorted(failed, key=lambda f: f["name"])}


def _described(
    kinds: Mapping[str, NodeType] | Mapping[str, ConnectionType], failed: list[dict[str, str]]
) -> Iterator[dict[str, Any]]:
    for name in sorted(kinds):
        kind = kinds.get(name)
        if kind is None:  # it does not load; the registry says why
            continue
        try:
            yield describe(kind)
        except TypeError as error:  # a config type that no flow file could fill
            failed.append(
                {"name": name, "plugin": kind.plugin, "reason": str(error), "install": ""}
            )


def describe(kind: Kind) -> dict[str, Any]:
    """Return what there is to know about a type, as JSON has it."""
    common: dict[str, Any] = {
        "type": kind.name,
        "plugin": kind.plugin,
        "summary": kind.summary,
        "text": _text(kind),
    }
    if isinstance(kind, NodeType):
        outlets = kind.fixed_outlets
        common |= {
            "kind": "transform" if kind.is_transform else "io",
            "outlets": None if outlets is None else [*outlets],
            "duplex": kind.duplex,
            "listens": kind.listens,
            "ttl": kind.ttl,
        }
    return {**common, "options": [_option(option) for option in options(kind.config_type)]}


def _text(kind: Kind) -> str:
    documented: Any = kind.implementation if isinstance(kind, NodeType) else kind.config_type
    return inspect.getdoc(documented) or inspect.getdoc(kind.config_type) or kind.summary


def _option(option: Option) -> dict[str, Any]:
    shown = {name: getattr(option, name) for name in option.__struct_fields__}
    shown["options"] = [_option(inner) for inner in option.options]
    return shown


def only(shown: dict[str, list[dict[str, Any]]], name: str) -> dict[str, list[dict[str, Any]]]:
    """Return what is called ``name``; the error for another name says what comes near it."""
    kept = {
        part: [kind for kind in shown[part] if kind["type"] == name]
        for part in ("nodes", "connections")
    }
    if any(kept.values()):
        return kept
    for failed in shown["failed"]:
        if failed["name"] == name:
            raise click.UsageError(_failed_text(failed))
    known = [kind["type"] for part in kept for kind in shown[part]]
    step = "flowbus nodes lists what is installed" if known else "no plugin is installed"
    raise click.UsageError(f"there is no type {quoted(name)}{near(name, known)}; {step}")


def _failed_text(failed: Mapping[str, str]) -> str:
    step = f"; install it with: {failed['install']}" if failed["install"] else ""
    whose = "" if failed["plugin"] == failed["name"] else f" of {failed['plugin']}"
    return f"{failed['name']}{whose} cannot be used: {failed['reason']}{step}"


def overview(shown: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return the types one a line, those of nodes first."""
    lines: list[str] = []
    for part, title in (("nodes", "NODE TYPE"), ("connections", "CONNECTION TYPE")):
        rows = [[kind["type"], kind["plugin"], kind["summary"]] for kind in shown[part]]
        if rows:
            lines += [*aligned([[title, "PLUGIN", "SUMMARY"], *rows]), ""]
    if not lines:
        lines = [
            "No node type is installed. pip install 'flowbus[all]' brings those of flowbus.",
            "",
        ]
    if shown["failed"]:
        lines += ["Not usable:", *("  " + _failed_text(failed) for failed in shown["failed"]), ""]
    return "\n".join(lines[:-1])


def details(kind: Mapping[str, Any]) -> str:
    """Return everything about one type."""
    what = "node" if "kind" in kind else "connection"
    lines = [f"{kind['type']}  ({what} type of {kind['plugin']})", "", kind["text"], ""]
    if what == "node":
        lines += [f"Outlets: {_outlets(kind)}", *_traits(kind), ""]
    rows = [*_option_rows(kind["options"], "")]
    lines += ["Options:", *aligned(rows)] if rows else ["It has no options."]
    return "\n".join(lines)


def _outlets(kind: Mapping[str, Any]) -> str:
    if kind["outlets"] is None:
        return "as the options say, error, status"
    return ", ".join([*kind["outlets"], "error", "status"])


def _traits(kind: Mapping[str, Any]) -> Iterator[str]:
    if kind["duplex"]:
        yield "Duplex: what leaves it does not descend from what it takes."
    if kind["listens"]:
        yield "It listens: it starts before the nodes that dial."
    if kind["ttl"] is not None:
        yield f"A message that is older than {kind['ttl']:g} s expires, unless ttl says otherwise."


def _option_rows(described: list[dict[str, Any]], above: str) -> Iterator[list[str]]:
    for option in described:
        name = above + option["name"]
        default = "required" if option["required"] else f"default {json_text(option['default'])}"
        yield ["  " + name, option["type"], default, option["description"]]
        yield from _option_rows(option["options"], name + ".")
