"""Everything that can be known to be wrong with a flow before it runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from flowbus import graph
from flowbus.config import Config, configure, connection_refs, refs_in
from flowbus.connections import ConnectionType
from flowbus.errors import ConfigError
from flowbus.flowfile import ConnectionSpec, FlowFile, NodeSpec, WireSpec, load
from flowbus.flowkeys import NodeKeys
from flowbus.node import RESERVED_OUTLETS, NodeType
from flowbus.plan import Checked, ConnectionPlan, NodePlan
from flowbus.problem import Flaw, JsonPath, listed, near, quoted
from flowbus.secrets import Redactor, has_reference


class FailedType(Protocol):
    """A type that is installed but cannot be used."""

    @property
    def plugin(self) -> str:
        """The distribution that has it."""

    @property
    def reason(self) -> str:
        """Why it did not load."""

    @property
    def install(self) -> str:
        """The command that would help; empty where none does."""


class Registry(Protocol):
    """The installed types by name. Looking a type up may load it; KeyError where that fails."""

    @property
    def nodes(self) -> Mapping[str, NodeType]:
        """Node types."""

    @property
    def connections(self) -> Mapping[str, ConnectionType]:
        """Connection types."""

    @property
    def failed(self) -> Mapping[str, FailedType]:
        """What did not load."""


def check_file(
    path: str | os.PathLike[str],
    registry: Registry,
    *,
    environ: Mapping[str, str] | None = None,
    redactor: Redactor | None = None,
) -> Checked:
    """Read a flow file and check it. Never raises for what is wrong with the file."""
    environ = os.environ if environ is None else environ
    return check(load(path, environ=environ), registry, environ=environ, redactor=redactor)


def check(
    flow: FlowFile,
    registry: Registry,
    *,
    environ: Mapping[str, str] | None = None,
    redactor: Redactor | None = None,
) -> Checked:
    """Decode every option of a flow and look for all that can be known to be wrong.

    What the file itself has wrong (``flow.problems``) is among the problems. ``environ`` is
    ``os.environ`` where it is not given; ``redactor`` learns the secrets.
    """
    environ = os.environ if environ is None else environ
    return _Check(flow, registry, environ, redactor or Redactor()).run()


class _Check:
    """One check of one flow."""

    def __init__(
        self, flow: FlowFile, registry: Registry, environ: Mapping[str, str], redactor: Redactor
    ) -> None:
        self.flow = flow
        self.registry = registry
        self.environ = environ
        self.redactor = redactor
        self.problems = list(flow.problems)
        self.nodes: dict[str, NodePlan] = {}
        self.connections: dict[str, ConnectionPlan] = {}
        self.named_connections: set[str] = set()
        self.outlets: dict[str, tuple[str, ...]] = {}

    def run(self) -> Checked:
        for connection in self.flow.connections.values():
            self.connection(connection)
        for node in self.flow.nodes.values():
            self.node(node)
        self.wires()
        self.graph()
        self.unused_connections()
        order = {str(p): p for p in sorted(self.problems, key=lambda p: (p.line, p.column))}
        return Checked(
            flow=self.flow,
            problems=tuple(order.values()),
            nodes=self.nodes,
            connections=self.connections,
        )

    def add(self, flaw: Flaw, below: JsonPath = ()) -> None:
        text = self.redactor.redact(flaw.text)
        self.problems.append(self.flow.document.problem(flaw._replace(text=text), below))

    def warn(self, flaw: Flaw) -> None:
        self.problems.append(self.flow.document.problem(flaw, severity="warning"))

    def connection(self, spec: ConnectionSpec) -> None:
        types = self.registry.connections
        found = self.find(types, spec.type, spec.path, "connection", self.registry.nodes)
        if found is None:
            return
        config = self.config(spec, found.config_type, ("type", "note"))
        if config is not None:
            plan = ConnectionPlan(spec, found, config)
            self.connections[spec.name] = plan

    def node(self, spec: NodeSpec) -> None:
        types = self.registry.nodes
        found = self.find(types, spec.type, spec.path, "node", self.registry.connections)
        if found is None:
            return
        config = self.config(spec, found.config_type, NodeKeys.__struct_encode_fields__)
        self.refs(spec, found, config)
        if found.fixed_outlets is not None:
            self.outlets[spec.name] = found.fixed_outlets
        if config is None:
            return
        outlets = self.outlets_of(spec, found, config)
        if outlets is not None:
            self.outlets[spec.name] = outlets
            self.nodes[spec.name] = NodePlan(spec, found, config, outlets)

    def find(
        self, types: Mapping[str, Any], name: str, path: JsonPath, kind: str,
        others: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """Return the type called ``name``, or None and the reason as a problem."""
        try:
            return types[name]
        except KeyError:
            pass
        self.add(Flaw((*path, "type"), self.no_type(types, name, kind, others)))
        return None

    def no_type(
        self, types: Mapping[str, Any], name: str, kind: str, others: Mapping[str, Any]
    ) -> str:
        failed = self.registry.failed.get(name)
        if failed is not None:
            step = f"; install it with: {failed.install}" if failed.install else ""
            text = f"the {kind} type {quoted(name)} of {failed.plugin} cannot be used"
            return f"{text}: {failed.reason}{step}"
        if name in others:
            place = "connections" if kind == "node" else "nodes"
            return f"{quoted(name)} is no {kind} type; it belongs under {quoted(place)}"
        step = "flowbus nodes lists what is installed" if len(types) else "no plugin is installed"
        return f"there is no {kind} type {quoted(name)}{near(name, types)}; {step}"

    def config(
        self, spec: NodeSpec | ConnectionSpec, config_type: type[Config], keys: tuple[str, ...]
    ) -> Config | None:
        found, flaws = configure(
            config_type,
            spec.options,
            self.flow.base_dir,
            environ=self.environ,
            redactor=self.redactor,
            other_keys=keys,
        )
        for flaw in flaws:
            self.add(flaw, spec.path)
        if found is not None:
            before = len(self.problems)
            for path, part in _parts(found, ()):
                self.files(part, (*spec.path, *path))
            found = found if len(self.problems) == before else None
        return found

    def files(self, config: Config, path: JsonPath) -> None:
        try:
            config.check_files()
        except ConfigError as error:
            steps = error.option.split(".") if error.option else ()
            self.add(Flaw((*path, *steps), error.text))
        except (ValueError, OSError) as error:
            self.add(Flaw(path, str(error)))

    def refs(self, spec: NodeSpec, found: NodeType, config: Config | None) -> None:
        """Check the connections that a node names; where it has no config, those of the file."""
        if config is not None:
            refs: Iterable[tuple[JsonPath, str, str]] = refs_in(config)
        else:
            refs = _written_refs(spec.options, connection_refs(found.config_type))
        for path, kind, name in refs:
            self.named_connections.add(name)
            text = self.bad_ref(kind, name)
            if text:
                self.add(Flaw((*spec.path, *path), text))

    def bad_ref(self, kind: str, name: str) -> str:
        spec = self.flow.connections.get(name)
        if spec is not None:
            if spec.type == kind:
                return ""
            return f"the connection {quoted(name)} is of type {spec.type}, not {kind}"
        if self.flow.document.position(("connections", name)) != self.flow.document.position(
            ("connections",)
        ):
            return ""  # it is there, but wrong in itself
        fitting = [s.name for s in self.flow.connections.values() if s.type == kind]
        there = f"; of type {kind} there are {listed(fitting)}" if fitting else ""
        return f"there is no connection {quoted(name)}{near(name, self.flow.connections)}{there}"

    def outlets_of(self, spec: NodeSpec, found: NodeType, config: Config) -> tuple[str, ...] | None:
        try:
            return found.outlets(config)
        except ValueError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - a plugin's own code broke: say whose
            text = f"the type {spec.type} cannot tell its outlets: {type(error).__name__}: {error}"
        self.add(Flaw(spec.path, text))
        return None

    def wires(self) -> None:
        seen: set[JsonPath] = set()
        for wire in (*self.flow.wires, *self.flow.idle_wires):
            if wire.path not in seen:
                self.wire(wire)
            if wire.from_star:
                seen.add(wire.path)

    def wire(self, wire: WireSpec) -> None:
        if wire.buffer == "disk":
            text = "disk wires are not built into this version; leave out buffer and max_bytes"
            self.add(Flaw((*wire.path, "buffer"), text))
        elif wire.max_bytes is not None:
            text = 'max_bytes goes with "buffer": "disk" only; a wire in memory has a capacity'
            self.add(Flaw((*wire.path, "max_bytes"), text))
        outlets = self.outlets.get(wire.source)
        if outlets is None or wire.outlet in (*outlets, *RESERVED_OUTLETS):
            return
        known = [*outlets, *RESERVED_OUTLETS]
        step = 0 if isinstance(_raw_wire(self.flow, wire.path), list) else "from"
        hint = near(wire.outlet, known)
        text = f"{wire.source} has no outlet {quoted(wire.outlet)}{hint}; it has {listed(known)}"
        self.add(Flaw((*wire.path, step), text))

    def graph(self) -> None:
        facts = {
            name: graph.NodeFacts(plan.type.is_transform, plan.type.duplex, plan.outlets)
            for name, plan in self.nodes.items()
        }
        for flaw in graph.cycles(self.flow, facts):
            self.add(flaw)
        for flaw in graph.loose_ends(self.flow, facts):
            self.warn(flaw)
        if not self.flow.nodes and not self.problems:
            self.warn(Flaw(("nodes",), "there is no node that would run"))

    def unused_connections(self) -> None:
        if len(self.nodes) < len(self.flow.nodes) or self.flow.disabled:
            return  # a node that could not be read, or is switched off, may name it
        for name, spec in self.flow.connections.items():
            if name not in self.named_connections:
                self.warn(Flaw(spec.path, "no node uses this connection", at_key=True))


def _raw_wire(flow: FlowFile, path: JsonPath) -> Any:
    return flow.document.value["wires"][path[1]]


def _parts(config: Any, path: JsonPath) -> Iterator[tuple[JsonPath, Config]]:
    """Yield a config and those inside it."""
    if isinstance(config, Config):
        yield path, config
        for name, key in zip(
            config.__struct_fields__, config.__struct_encode_fields__, strict=True
        ):
            yield from _parts(getattr(config, name), (*path, key))
    elif isinstance(config, list | tuple):
        for index, item in enumerate(config):
            yield from _parts(item, (*path, index))
    elif isinstance(config, dict):
        for key, item in config.items():
            yield from _parts(item, (*path, key))


def _written_refs(
    options: Mapping[str, Any], fields: Mapping[str, str]
) -> Iterator[tuple[JsonPath, str, str]]:
    for field, kind in fields.items():
        name = options.get(field)
        if isinstance(name, str) and name and not has_reference(name):
            yield (field,), kind, name
