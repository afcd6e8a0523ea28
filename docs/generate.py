"""Write the pages on node types, connection types and faults from the plugins of this checkout.

    python docs/generate.py            write docs/nodes, docs/connections and docs/faults.md
    python docs/generate.py --check    write nothing; exit 1 and name every page that is out of date

In README.md and the pages that people write it renews the blocks of docs/copies.py.

The plugins under plugins/ have to be installed, all but flowbus-example, which the plugin guide
shows instead. What else is installed makes no difference.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from copies import renewed

from flowbus import plugins
from flowbus.connections import ConnectionType
from flowbus.faults import Fault
from flowbus.node import NodeType
from flowbus.shape import Option, json_text, options

DOCS = Path(__file__).parent
ROOT = DOCS.parent
NOT_SHOWN = "flowbus-example"
DEFAULT_TTL = (
    "A message that waits for it and is older than {:g} s expires; `ttl` on the node changes that."
)
CORE = "flowbus"

Kind = NodeType | ConnectionType
Pages = dict[str, str]


class NotInstalledError(Exception):
    """A plugin of this checkout cannot be documented; the text says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with ``--check`` compare them; the exit code is 1 where they differ."""
    parser = argparse.ArgumentParser(description="Generate the reference pages from the plugins.")
    parser.add_argument("--check", action="store_true", help="write nothing, name stale pages")
    wanted = parser.parse_args(arguments)
    try:
        pages = all_pages()
    except NotInstalledError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if not wanted.check:
        write(pages)
        return 0
    stale = stale_pages(pages)
    for name, why in stale:
        print(f"docs/{name} is {why}: run python docs/generate.py", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


def write(pages: Pages) -> None:
    """Write the pages, and remove those of types that are gone."""
    for name in [*written()]:
        if name not in pages:
            (DOCS / name).unlink()
    for name, text in pages.items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def stale_pages(pages: Pages) -> list[tuple[str, str]]:
    """Return each page that differs from what would be written, and how."""
    there = {name: (DOCS / name).read_text(encoding="utf-8") for name in written()}
    return [
        *((name, "missing") for name in sorted(pages.keys() - there.keys())),
        *((name, "of a type that is gone") for name in sorted(there.keys() - pages.keys())),
        *((n, "out of date") for n in sorted(pages.keys() & there.keys()) if pages[n] != there[n]),
    ]


def written() -> Iterator[str]:
    """Yield the names of the generated pages that exist."""
    for folder in ("nodes", "connections"):
        for path in sorted((DOCS / folder).glob("*.md")):
            yield f"{folder}/{path.name}"
    if (DOCS / "faults.md").exists():
        yield "faults.md"
    yield from by_hand()


def by_hand() -> list[str]:
    """Return the names of the pages that people write and that take blocks from elsewhere."""
    pages = sorted(path.name for path in DOCS.glob("*.md") if path.name != "faults.md")
    return ["../README.md", *pages]


# ---- what there is


def all_pages() -> Pages:
    """Return every generated page by its name below docs/."""
    folders = plugin_folders()
    registry = plugins.installed()
    nodes = shown(registry.nodes, folders)
    connections = shown(registry.connections, folders)
    check_installed(registry, folders, [*nodes, *connections])
    flows = example_flows()
    pages = {f"nodes/{kind.name}.md": node_page(kind, folders, flows) for kind in nodes}
    pages |= {
        f"connections/{kind.name}.md": connection_page(kind, folders, flows) for kind in connections
    }
    pages["nodes/README.md"] = index("Node types", NODES_INTRO, nodes, folders)
    pages["connections/README.md"] = index("Connection types", PEERS_INTRO, connections, folders)
    pages["faults.md"] = faults_page(registry, nodes, connections)
    return pages | {name: renewed(DOCS / name) for name in by_hand()}


def plugin_folders() -> dict[str, str]:
    """Return the folder below plugins/ of each distribution that is documented."""
    found = {}
    for project in sorted((ROOT / "plugins").glob("*/pyproject.toml")):
        name = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["name"]
        if name != NOT_SHOWN:
            found[name] = project.parent.name
    return found


def shown(types: Any, folders: dict[str, str]) -> list[Any]:
    """Return the types of the documented plugins, by name."""
    return [
        kind
        for name in sorted(types)
        if types.plugin_of(name) in folders and (kind := types.get(name)) is not None
    ]


def check_installed(registry: Any, folders: dict[str, str], kinds: Iterable[Kind]) -> None:
    """Raise NotInstalledError where a plugin of this checkout is missing or cannot be loaded."""
    for failed in (*registry.failed.values(), *registry.broken_plugins.values()):
        if failed.plugin in folders:
            step = f"; {failed.install}" if failed.install else ""
            raise NotInstalledError(f"{failed.plugin} cannot be loaded: {failed.reason}{step}")
    missing = folders.keys() - {kind.plugin for kind in kinds}
    for name in sorted(missing):
        raise NotInstalledError(f"{name} is not installed: pip install -e plugins/{folders[name]}")


def example_flows() -> dict[str, Any]:
    """Return the example flows by the name of their file."""
    files = sorted((ROOT / "flows").glob("*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in files}


# ---- pages

NODES_INTRO = """\
Every node also has the outlets `error` and `status` and the keys `note`, `disabled` and `ttl`; see
[the flow file](../flow-file.md). `flowbus nodes TYPE` shows the same as these pages."""

PEERS_INTRO = """\
A connection is a peer that several nodes share. It stands under `connections` in
[the flow file](../flow-file.md), and nodes name it with their option `connection`."""


def index(title: str, intro: str, kinds: list[Kind], folders: dict[str, str]) -> str:
    """Return the page that lists all types of one kind."""
    rows = [
        [f"[`{kind.name}`]({kind.name}.md)", what(kind), kind.summary, plugin_link(kind, folders)]
        for kind in kinds
    ]
    return page(title, intro, table(["type", "is", "does", "plugin"], rows))


def what(kind: Kind) -> str:
    """Return what a type is, in two or three words."""
    if isinstance(kind, ConnectionType):
        return "connection"
    return "transform" if kind.is_transform else "I/O node"


def node_page(kind: NodeType, folders: dict[str, str], flows: dict[str, Any]) -> str:
    """Return the page of a node type."""
    head = (
        f"{'A transform' if kind.is_transform else 'An I/O node'} of {plugin_link(kind, folders)}."
    )
    return page(
        kind.name, text_of(kind), head, traits(kind), "## Options", options_table(kind),
        used_in(kind, "nodes", flows),
    )  # fmt: skip


def connection_page(kind: ConnectionType, folders: dict[str, str], flows: dict[str, Any]) -> str:
    """Return the page of a connection type."""
    head = f"A connection type of {plugin_link(kind, folders)}."
    if kind.link_key is not None:
        head += " Connections to the same peer share one link."
    return page(
        f"{kind.name} (connection)", text_of(kind), head, "## Options", options_table(kind),
        used_in(kind, "connections", flows),
    )  # fmt: skip


def text_of(kind: Kind) -> str:
    """Return the docstring that describes a type."""
    documented: Any = kind.implementation if isinstance(kind, NodeType) else None
    return inspect.getdoc(documented) or inspect.getdoc(kind.config_type) or kind.summary


def traits(kind: NodeType) -> str:
    """Return outlets, and what is special, as a list."""
    outlets = kind.fixed_outlets
    names = "as its options say" if outlets is None else ", ".join(f"`{n}`" for n in outlets)
    lines = [f"Outlets: {names}" + (", `error`, `status`." if names else "`error`, `status`.")]
    if kind.duplex:
        lines.append("Duplex: what leaves it does not descend from what it takes.")
    if kind.listens:
        lines.append("It listens: it starts before the nodes that dial.")
    if kind.ttl is not None:
        lines.append(DEFAULT_TTL.format(kind.ttl))
    return "\n".join(f"- {line}" for line in lines)


def options_table(kind: Kind) -> str:
    """Return the options of a type, those of objects below the object."""
    rows = [*option_rows(options(kind.config_type), "")]
    return table(["option", "takes", "default", "meaning"], rows) if rows else "It has none."


def option_rows(found: Iterable[Option], above: str) -> Iterator[list[str]]:
    """Yield a row for each option, then for each option inside it."""
    for option in found:
        default = "required" if option.required else f"`{json_text(option.default)}`"
        if option.default is None and not option.required:
            default = "none"
        peer = option.connection
        takes = f"name of an [{peer}](../connections/{peer}.md) connection" if peer else option.type
        yield [f"`{above}{option.name}`", takes, default, option.description]
        yield from option_rows(option.options, f"{above}{option.name}.")


def used_in(kind: Kind, part: str, flows: dict[str, Any]) -> str:
    """Return one entry of an example flow that uses the type, and links to all that do."""
    uses = {
        file: (name, spec)
        for file, flow in reversed(flows.items())
        for name, spec in reversed(flow.get(part, {}).items())
        if spec["type"] == kind.name
    }
    if not uses:
        return ""
    files = sorted(uses)
    links = ", ".join(f"[{file}](../../flows/{file})" for file in files)
    name, spec = uses[files[0]]
    entry = json.dumps({name: spec}, indent=2, ensure_ascii=False)
    return f"## In a flow\n\nFrom the first of {links}:\n\n```jsonc\n{entry}\n```"


def faults_page(registry: Any, nodes: list[Kind], connections: list[Kind]) -> str:
    """Return the fault registry of flowbus and the documented plugins, one table a domain."""
    ours = {kind.plugin for kind in (*nodes, *connections)} | {CORE}
    domains: dict[str, list[Fault]] = {}
    foreign = foreign_codes(registry, ours)
    for fault in registry.faults().values():
        if fault.code not in foreign:
            domains.setdefault(fault.code.partition(".")[0], []).append(fault)
    first = [CORE, *sorted(domains.keys() - {CORE})]
    parts = [part for domain in first for part in (f"## {domain}", faults_table(domains[domain]))]
    intro = (
        "Every code that a status, a rejected message or a log line can carry. `flowbus codes CODE` "
        "prints one entry; it also takes a name, a number or a part of one. A code marked with * is "
        "temporary: the message is tried again, as if its peer were lost."
    )
    return page("Faults", intro, *parts)


def foreign_codes(registry: Any, ours: set[str]) -> set[str]:
    """Return the codes that only plugins of other checkouts bring."""
    tables = registry._fault_tables
    return {
        fault.code
        for name in tables
        if tables.plugin_of(name) not in ours
        for fault in tables.get(name) or ()
    }


def faults_table(faults: list[Fault]) -> str:
    """Return the entries of one domain, by number where they have one."""
    by_number = sorted(faults, key=lambda f: (f.number is not None, f.number or 0))
    rows = [
        [f"`{f.code}`{' *' if f.temporary else ''}", f.name, f.cause, f.next_step]
        for f in by_number
    ]
    return table(["code", "name", "cause", "next step"], rows)


# ---- Markdown


def page(title: str, *parts: str) -> str:
    """Return a page; empty parts are left out."""
    note = "<!-- Written by docs/generate.py from the code: change it there. -->"
    return "\n\n".join([f"# {title}", note, *(part for part in parts if part)]) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """Return text that does not end its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def plugin_link(kind: Kind, folders: dict[str, str]) -> str:
    """Return a link to the README of the plugin that has a type."""
    return f"[{kind.plugin}](../../plugins/{folders[kind.plugin]}/README.md)"


if __name__ == "__main__":
    sys.exit(main())
