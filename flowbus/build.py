"""From a flow file to the parts that run: nodes, segments, wires, connections."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from flowbus.clock import Clock
from flowbus.config import Config, configure
from flowbus.connections import Connection, ConnectionType
from flowbus.counters import Counters
from flowbus.custody import Custody
from flowbus.errors import ConfigError
from flowbus.flowfile import ConnectionSpec, FlowFile, NodeSpec, WireSpec
from flowbus.gate import Gate
from flowbus.inbox import Inbox
from flowbus.ionode import IoNode
from flowbus.ledger import Ledger
from flowbus.message import Message
from flowbus.node import NodeType
from flowbus.nodeio import Seat, next_id
from flowbus.outlets import FaultLog, Outlets
from flowbus.plugins import Registry
from flowbus.secrets import Redactor, refers
from flowbus.segment import Messages, Outgoing, Receipts, Segment, Stage
from flowbus.status import State, Status, StatusCell
from flowbus.statuswire import StatusWire
from flowbus.wire import Wire

log = logging.getLogger("flowbus.status")

DEEPEST = 50  # transforms in a row that one segment fuses; each costs a few stack frames


class FusedWire:
    """A wire inside a segment: nothing waits on it, it only counts."""

    def __init__(self, stage: Stage) -> None:
        self.passed = 0
        self._stage = stage

    def carry(self, messages: Messages, receipts: Receipts) -> None:
        """Hand a chunk to the next stage."""
        self.passed += len(messages)
        self._stage.run(messages, receipts)

    def as_dict(self) -> dict[str, Any]:
        """Return the counters as the report shows them."""
        return {"passed": self.passed, "dropped": 0, "depth": 0, "high": 0}


class Parts:
    """Everything of one flow that runs, by name."""

    def __init__(self, flow: FlowFile, registry: Registry, clock: Clock, redactor: Redactor) -> None:
        self.flow = flow
        self.clock = clock
        self.gate = Gate()
        self.ledger = Ledger()
        self.redactor = redactor
        self.types: dict[str, NodeType] = {n: registry.nodes[s.type] for n, s in flow.nodes.items()}
        self.cells: dict[str, StatusCell] = {}
        self.outlets: dict[str, Outlets] = {}
        self.inboxes: dict[str, Inbox] = {}
        self.stages: dict[str, Stage] = {}
        self.io_nodes: dict[str, IoNode] = {}
        self.segments: list[Segment] = []
        self.links: dict[Hashable, Connection] = {}
        self.connections: dict[str, Connection] = {}
        self.wires: list[tuple[WireSpec, Wire | FusedWire]] = []
        for spec in flow.connections.values():
            self.connections[spec.name] = self._connection(spec, registry.connections[spec.type])
        self.handles = {name: peer.handle for name, peer in self.connections.items()}
        for node in flow.nodes.values():
            self._node(node)
        self._wire_up()

    @property
    def queues(self) -> list[Wire]:
        """The wires on which messages can wait."""
        return [wire for _, wire in self.wires if isinstance(wire, Wire)]

    # ---- connections

    def _connection(self, spec: ConnectionSpec, kind: ConnectionType) -> Connection:
        decode = self._decoder(kind.config_type, spec)
        link = None
        if kind.link_key is not None:
            link = self._link(spec.name, kind, kind.link_key(decode()), decode)
        return self._supervised(spec.name, kind.open, decode, link)

    def _link(
        self, name: str, kind: ConnectionType, key: Hashable, decode: Callable[[], Config]
    ) -> Connection:
        assert kind.open_link is not None
        if (kind.name, key) not in self.links:
            opened = self._supervised(f"link of {name}", kind.open_link, decode, None, is_link=True)
            self.links[kind.name, key] = opened
        return self.links[kind.name, key]

    def _supervised(
        self, name: str, opener: Callable[..., Any], decode: Callable[[], Config],
        link: Connection | None, *, is_link: bool = False,
    ) -> Connection:  # fmt: skip
        counters = Counters()
        faults = FaultLog(name, counters, self.clock)
        cell = StatusCell(lambda status: self._log(name, status))
        handle = None if link is None else link.handle
        return Connection(name, opener, decode, cell, faults, counters, handle, is_link)

    # ---- nodes

    def _node(self, spec: NodeSpec) -> None:
        name, kind = spec.name, self.types[spec.name]
        decode = self._decoder(kind.config_type, spec)
        counters = Counters()
        faults = FaultLog(name, counters, self.clock)
        outlets = Outlets(name, kind.outlets(decode()), counters, faults)
        cell = StatusCell(lambda status: self._tell(name, status))
        inbox = Inbox(self.clock)
        self.cells[name], self.outlets[name], self.inboxes[name] = cell, outlets, inbox
        if kind.is_transform:
            self.stages[name] = Stage(name, kind, decode, outlets, cell, self.clock)
            return
        seat = Seat(
            name=name,
            clock=self.clock,
            gate=self.gate,
            cell=cell,
            counters=counters,
            line=self.ledger.line(name),
            outlets=outlets,
            custody=Custody(inbox, outlets, self.clock),
            connections=self.handles,
            memory={},
        )
        self.io_nodes[name] = IoNode(seat, kind, decode, inbox)

    def _decoder(self, kind: type[Config], spec: NodeSpec | ConnectionSpec) -> Callable[[], Config]:
        """Return what decodes the options: anew for each start where references may have changed."""
        kept: Config | None = None

        def decode() -> Config:
            nonlocal kept
            if kept is not None:
                return kept
            config, flaws = configure(kind, spec.options, self.flow.base_dir, redactor=self.redactor)
            if config is None:
                problems = [self.flow.document.problem(flaw, spec.path) for flaw in flaws]
                raise ConfigError(self.redactor.redact("; ".join(map(str, problems))))
            if not refers(spec.options) and _cannot_change(config):
                kept = config
            return config

        return decode

    # ---- wires

    def _wire_up(self) -> None:
        incoming: dict[str, list[WireSpec]] = {name: [] for name in self.flow.nodes}
        for wire in self.flow.wires:
            incoming[wire.to].append(wire)
        depth: dict[str, int] = {}
        heads = {
            name: Segment(self.inboxes[name], self.clock)
            for name in self._in_order(incoming)
            if not self._is_fused(name, incoming[name], depth)
        }
        self.segments = list(heads.values())
        segment_of = {name: self._segment(name, heads, incoming) for name in self.stages}
        for name in self._in_order(incoming):
            segment_of[name].stages.append(self.stages[name])
        for wire in self.flow.wires:
            if wire.to in self.stages and wire.to not in heads:
                fused = FusedWire(self.stages[wire.to])
                self.stages[wire.source].add_target(wire.outlet, fused.carry)
                self.wires.append((wire, fused))
            else:
                self._queue(wire, segment_of)

    def _in_order(self, incoming: Mapping[str, list[WireSpec]]) -> list[str]:
        """The transforms, each after the only transform before it."""
        order: list[str] = []
        seen: set[str] = set()
        for name in self.stages:
            chain: list[str] = []
            while name in self.stages and name not in seen:
                seen.add(name)
                chain.append(name)
                if len(incoming[name]) == 1:
                    name = incoming[name][0].source
            order += reversed(chain)
        return order

    def _is_fused(self, name: str, incoming: list[WireSpec], depth: dict[str, int]) -> bool:
        """Tell whether a transform runs in the segment of the one before it."""
        depth[name] = 0
        if len(incoming) != 1 or self._ttl(incoming[0]) is not None:
            return False
        wire = incoming[0]
        plain = wire.capacity == 128 and wire.when_full == "wait" and wire.outlet not in ("error", "status")
        if not plain or wire.source not in self.stages or depth.get(wire.source, DEEPEST) + 1 >= DEEPEST:
            return False
        depth[name] = depth[wire.source] + 1
        return True

    def _segment(
        self, name: str, heads: Mapping[str, Segment], incoming: Mapping[str, list[WireSpec]]
    ) -> Segment:
        while name not in heads:
            name = incoming[name][0].source
        return heads[name]

    def _ttl(self, wire: WireSpec) -> float | None:
        """The shortest of the wire's, the node's and its type's time to live, in seconds."""
        node = self.flow.nodes[wire.to]
        own = self.types[wire.to].ttl if node.ttl is None else node.ttl
        limits = [ttl for ttl in (wire.ttl, own) if ttl is not None and ttl != float("inf")]
        return min(limits, default=None)

    def _queue(self, spec: WireSpec, segment_of: Mapping[str, Segment]) -> None:
        outlets = self.outlets[spec.source]
        if spec.outlet == "status":
            wire: Wire = StatusWire(spec.label, self.inboxes[spec.to], self.clock)
        else:
            wire = Wire(
                spec.label, self.inboxes[spec.to], self.clock,
                capacity=spec.capacity, when_full=spec.when_full, ttl=self._ttl(spec),
                on_reject=outlets.reject, why_full=self.cells[spec.to].why_away,
            )  # fmt: skip
        self.wires.append((spec, wire))
        if spec.to in segment_of and spec.outlet not in ("error", "status"):
            wire.direct = segment_of[spec.to]
        if spec.outlet in ("error", "status") or spec.source in self.io_nodes:
            outlets.connect(spec.outlet, wire)
            return
        outgoing = Outgoing(wire)
        segment_of[spec.source].outgoing.append(outgoing)
        self.stages[spec.source].add_target(spec.outlet, outgoing.collect)

    # ---- status

    def _tell(self, name: str, status: Status) -> None:
        self._log(name, status)
        wires = self.outlets[name].status
        if wires:
            shown = {"node": name, "type": self.types[name].name, **status.as_dict()}
            shown["text"] = self.redactor.redact(shown["text"])
            message = Message(shown, name, id=next_id(), time=time.time_ns())
            for wire in wires:
                wire.put_status(message)

    def _log(self, name: str, status: Status) -> None:
        bad = status.state in (State.WAITING, State.FAILED, State.DEGRADED)
        code = f" {status.code}" if status.code else ""
        text = f": {status.text}" if status.text else ""
        retry = "" if status.retry_in is None else f" (next try in {status.retry_in:.1f} s)"
        log.log(
            logging.WARNING if bad else logging.INFO,
            "%s is %s%s%s%s", name, status.state.value, code, text, retry,
            extra={"node": name, "code": status.code, "state": status.state.value},
        )  # fmt: skip


def _cannot_change(config: Config) -> bool:
    """Tell whether nothing inside can be changed: then a node may get it again when it restarts."""
    try:
        hash(config)
    except TypeError:
        return False
    return True
