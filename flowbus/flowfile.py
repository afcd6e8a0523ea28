"""The flow file: which nodes and connections there are, and which outlet feeds which node."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flowbus.config import Config, configure
from flowbus.flowkeys import (
    NAME,
    NAME_RULE,
    VERSION,
    ConnectionKeys,
    NodeKeys,
    TopKeys,
    WireKeys,
)
from flowbus.flowspec import ConnectionSpec, FlowFile, NodeSpec, WireSpec, base_dir
from flowbus.jsontext import Document
from flowbus.jsontext import parse as parse_json
from flowbus.problem import Flaw, JsonPath, near, quoted

__all__ = [
    "MAX_FILE", "ConnectionSpec", "FlowFile", "NodeSpec", "WireSpec", "from_value", "load", "parse",
]  # fmt: skip

MAX_FILE = 16 * 1024 * 1024
EVERY_OUTLETS = ("error", "status")


def load(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> FlowFile:
    """Read a flow file. Never raises: what is wrong with the file is in ``problems``."""
    file = os.fspath(path)
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return _unread(file, _why_unread(error))
    if len(data) > MAX_FILE:
        return _unread(file, f"the file is larger than {MAX_FILE >> 20} MiB")
    return parse(data, file, environ=environ)


def parse(data: bytes, file: str, *, environ: Mapping[str, str] | None = None) -> FlowFile:
    """Read the text of a flow file; ``file`` is its name, from which relative paths start."""
    return _read(parse_json(data, file), environ)


def from_value(
    value: Any, file: str = "flow.json", *, environ: Mapping[str, str] | None = None
) -> FlowFile:
    """Take a flow that was built in a program."""
    return _read(Document.of(value, file), environ)


def _why_unread(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "this is a folder, not a flow file"
    if isinstance(error, PermissionError):
        return "the file cannot be read: permission denied"
    return f"the file cannot be read: {getattr(error, 'strerror', None) or error}"


def _unread(file: str, why: str) -> FlowFile:
    document = Document.of(None, file)
    problem = document.problem(Flaw((), why))
    return FlowFile(file=file, name=_default_name(file), problems=(problem,), document=document)


def _default_name(file: str) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", Path(file).stem.lower()).strip("-_")
    return name if NAME.fullmatch(name) else f"flow-{name}".rstrip("-")


def _read(document: Document, environ: Mapping[str, str] | None) -> FlowFile:
    return _FlowReader(document, environ).flow()


class _FlowReader:
    """Goes through the value of a flow file and collects what is wrong with it."""

    def __init__(self, document: Document, environ: Mapping[str, str] | None) -> None:
        self.document = document
        self.environ = environ
        self.folder = base_dir(document.file)
        self.problems = list(document.problems)
        self.names: tuple[str, ...] = ()
        self.disabled: set[str] = set()

    def flow(self) -> FlowFile:
        file, value = self.document.file, self.document.value
        name = _default_name(file)
        if value is None and self.problems:
            value = {}
        elif not isinstance(value, dict):
            self.bad((), "a flow file is an object: { ... }")
            value = {}
        else:
            name = self.head(value) or name
        connections = {spec.name: spec for spec in self.connections(value)}
        nodes = {spec.name: spec for spec in self.nodes(value)}
        active, idle = self.wires(value)
        return FlowFile(
            file=file,
            name=name,
            note=value["note"] if isinstance(value.get("note"), str) else "",
            connections=connections,
            nodes=nodes,
            wires=active,
            disabled=frozenset(self.disabled),
            idle_wires=idle,
            problems=tuple(sorted(self.problems, key=lambda p: (p.line, p.column))),
            document=self.document,
        )

    def bad(self, path: JsonPath, text: str, *, at_key: bool = False) -> None:
        self.problems.append(self.document.problem(Flaw(path, text, at_key)))

    def take(self, kind: type[Config], raw: dict[str, Any], path: JsonPath) -> Any:
        """``raw`` as one of the ``...Keys``, or None and its flaws as problems."""
        found, flaws = configure(kind, raw, self.folder, environ=self.environ)
        self.problems += [self.document.problem(flaw, path) for flaw in flaws]
        return found

    def head(self, value: dict[str, Any]) -> str | None:
        """Check the top-level keys; return the flow's name where it has one."""
        if "flowbus" not in value:
            self.bad((), f'the format version is missing: write "flowbus": {VERSION} at the top')
        elif value["flowbus"] != VERSION or isinstance(value["flowbus"], bool):
            self.bad(("flowbus",), f"unknown format version; this flowbus reads version {VERSION}")
        # The parts are looked into later, where references in them are resolved.
        outline = {"flowbus": VERSION} | {
            key: type(part)() if isinstance(part, dict | list) else part
            for key, part in value.items()
            if key != "flowbus"
        }
        found = self.take(TopKeys, outline, ())
        name: str | None = found.name if found is not None else None
        if name is not None and not NAME.fullmatch(name):
            self.bad(("name",), f"bad name {quoted(name)}: {NAME_RULE}")
            return None
        return name

    def named(self, value: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the entries of ``nodes`` or ``connections`` that are objects."""
        entries = value.get(kind)
        for name, raw in entries.items() if isinstance(entries, dict) else ():
            path = (kind, name)
            if not NAME.fullmatch(name):
                self.bad(path, f"bad name {quoted(name)}: {NAME_RULE}", at_key=True)
            if isinstance(raw, dict):
                yield name, raw
            else:
                self.bad(path, "expected an object with a type")

    def connections(self, value: dict[str, Any]) -> Iterator[ConnectionSpec]:
        for name, raw in self.named(value, "connections"):
            head, options = _split(raw, ConnectionKeys)
            found = self.typed(ConnectionKeys, head, options, ("connections", name))
            if found is not None:
                yield ConnectionSpec(name=name, type=found.type, note=found.note, options=options)

    def nodes(self, value: dict[str, Any]) -> Iterator[NodeSpec]:
        entries = value.get("nodes")
        self.names = tuple(entries) if isinstance(entries, dict) else ()
        for name, raw in self.named(value, "nodes"):
            head, options = _split(raw, NodeKeys)
            found = self.typed(NodeKeys, head, options, ("nodes", name))
            if found is None:
                continue
            if found.disabled:
                self.disabled.add(name)
                continue
            ttl = math.inf if found.ttl == 0 else found.ttl
            yield NodeSpec(name=name, type=found.type, note=found.note, ttl=ttl, options=options)

    def typed(
        self, kind: type[Config], head: dict[str, Any], options: dict[str, Any], path: JsonPath
    ) -> Any:
        if "type" not in head:
            like = near("type", options)
            self.bad((*path, "type"), f"missing: the type is needed here{like}")
            self.take(kind, {"type": "-", **head}, path)
            return None
        if isinstance(head["type"], str) and "${" in head["type"]:
            self.bad((*path, "type"), "a type cannot come from a reference")
            return None
        return self.take(kind, head, path)

    def wires(self, value: dict[str, Any]) -> tuple[tuple[WireSpec, ...], tuple[WireSpec, ...]]:
        """Return the wires that join active nodes, and the others."""
        raws = value.get("wires")
        written = [
            spec
            for index, raw in enumerate(raws if isinstance(raws, list) else ())
            if (spec := self.wire(raw, ("wires", index))) is not None
        ]
        self.duplicates(written)
        every = [*_expand(written, [n for n in self.names if n not in self.disabled])]
        idle = tuple(w for w in every if w.source in self.disabled or w.to in self.disabled)
        return tuple(w for w in every if w not in idle) if idle else tuple(every), idle

    def wire(self, raw: Any, path: JsonPath) -> WireSpec | None:
        ends: tuple[str | int, str | int] = ("from", "to")
        if isinstance(raw, list):
            if len(raw) != 2:
                text = f"a wire is [from, to], this list has {len(raw)} items"
                self.bad(path, f'{text}; options need the form {{"from": ..., "to": ...}}')
                return None
            raw, ends = {"from": raw[0], "to": raw[1]}, (0, 1)
        if not isinstance(raw, dict):
            self.bad(path, 'a wire is [from, to] or {"from": ..., "to": ...}')
            return None
        before = len(self.problems)
        found = self.take_wire(raw, path, ends)
        if found is None:
            return None
        source, _, outlet = found.source.partition(".")
        self.check_start(found.source, source, outlet, (*path, ends[0]))
        self.check_end(found.to, (*path, ends[1]))
        if len(self.problems) > before:
            return None
        return WireSpec(
            source=source,
            outlet=outlet or "out",
            to=found.to,
            capacity=found.capacity,
            when_full=found.when_full,
            ttl=found.ttl or None,
            buffer=found.buffer,
            max_bytes=found.max_bytes,
            note=found.note,
            path=path,
            from_star=source == "*",
        )

    def take_wire(self, raw: dict[str, Any], path: JsonPath, ends: tuple[Any, Any]) -> Any:
        found, flaws = configure(WireKeys, raw, self.folder, environ=self.environ)
        places: dict[str | int, str | int] = {"from": ends[0], "to": ends[1]}
        for flaw in flaws:
            first, rest = flaw.path[:1], flaw.path[1:]
            at = (*(places.get(step, step) for step in first), *rest)
            self.problems.append(self.document.problem(flaw._replace(path=at), path))
        return found

    def check_start(self, text: str, source: str, outlet: str, path: JsonPath) -> None:
        if source == "*" and outlet not in EVERY_OUTLETS:
            self.bad(path, f'{quoted(text)}: * goes with "*.error" and "*.status" only')
        elif source != "*" and source not in self.names:
            self.bad(path, self.unknown(source))
        elif text.endswith("."):
            self.bad(path, f"{quoted(text)}: the outlet is missing after the dot")

    def check_end(self, to: str, path: JsonPath) -> None:
        if to in self.names:
            return
        node = to.partition(".")[0]
        if node != to and node in self.names:
            self.bad(path, f"a wire ends at a node, not at an outlet: write {quoted(node)}")
        else:
            self.bad(path, self.unknown(to))

    def unknown(self, name: str) -> str:
        return f"there is no node {quoted(name)}{near(name, self.names)}"

    def duplicates(self, wires: list[WireSpec]) -> None:
        first: dict[str, WireSpec] = {}
        for wire in wires:
            other = first.setdefault(wire.label, wire)
            if other is not wire:
                line, _ = self.document.position(other.path)
                self.bad(wire.path, f"the wire {wire.label} is here twice, first in line {line}")


def _split(raw: dict[str, Any], keys: type[Config]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys that every node or connection may have, and the options of its type."""
    known = keys.__struct_encode_fields__
    head = {key: raw[key] for key in known if key in raw}
    return head, {key: value for key, value in raw.items() if key not in known}


def _expand(wires: list[WireSpec], nodes: list[str]) -> Iterator[WireSpec]:
    """Every wire, ``*`` replaced by each node but the receiver where no wire of its own says it."""
    written = {(wire.source, wire.outlet, wire.to) for wire in wires}
    for wire in wires:
        if not wire.from_star:
            yield wire
            continue
        for node in nodes:
            if node != wire.to and (node, wire.outlet, wire.to) not in written:
                yield msgspec.structs.replace(wire, source=node)
