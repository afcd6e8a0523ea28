"""What the shape of a flow says: cycles that would lock up, nodes that nothing reaches.

A wire that waits stops its sender while it is full, so a cycle of waiting wires stands still for
good once it is full. A duplex node breaks it, for what leaves its outlets does not wait for what
enters its inbox, and so does a wire that drops or rejects. A cycle of transforms alone would run
for ever without letting anything else in. Wires from ``error`` and ``status`` never count: what
travels there neither waits nor comes back.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from flowbus.flowfile import FlowFile, WireSpec
from flowbus.problem import Flaw, quoted

Edges = Mapping[str, list[WireSpec]]


class NodeFacts(NamedTuple):
    """What has to be known of a node; ``outlets`` beside ``error`` and ``status``."""

    is_transform: bool
    duplex: bool
    outlets: tuple[str, ...]


def cycles(flow: FlowFile, facts: Mapping[str, NodeFacts]) -> list[Flaw]:
    """Find the cycles that cannot run, one in each knot of nodes; nodes without facts break them."""
    wires = [wire for wire in flow.wires if _counts(wire)]
    transforms = {name for name, fact in facts.items() if fact.is_transform}
    halting = {name for name, fact in facts.items() if not fact.duplex}
    flaws = [
        _flaw(cycle, "a cycle of transforms alone would never end", "let it pass an I/O node")
        for cycle in _cycles(wires, transforms)
    ]
    waiting = [wire for wire in wires if wire.when_full == "wait"]
    for cycle in _cycles(waiting, halting):
        if not all(wire.source in transforms for wire in cycle):
            why = "every wire of this cycle waits, so it stands still once it is full"
            flaws.append(_flaw(cycle, why, 'give one of its wires another "when_full"'))
    return flaws


def loose_ends(flow: FlowFile, facts: Mapping[str, NodeFacts]) -> list[Flaw]:
    """Find nodes that no source leads to, and outlets without a wire: both do no harm by themselves."""
    reached = _reached(flow, facts)
    flaws = [
        Flaw(("nodes", name), "no source leads to this node", at_key=True)
        for name in flow.nodes
        if name not in reached
    ]
    wired = {(wire.source, wire.outlet) for wire in (*flow.wires, *flow.idle_wires)}
    for name in flow.nodes:
        fact = facts.get(name)
        # A simulator, a broker or a server is useful for what it takes, whoever hears what it sends.
        if fact is None or fact.duplex:
            continue
        open_ = [outlet for outlet in fact.outlets if (name, outlet) not in wired]
        if open_:
            flaws.append(Flaw(("nodes", name), _unwired(open_), at_key=True))
    return flaws


def _unwired(outlets: list[str]) -> str:
    names = ", ".join(map(quoted, outlets[:10])) + (", ..." if len(outlets) > 10 else "")
    return f"outlet {names} has no wire" if len(outlets) == 1 else f"outlets {names} have no wire"


def _counts(wire: WireSpec) -> bool:
    return wire.outlet not in ("error", "status")


def _flaw(cycle: list[WireSpec], why: str, next_step: str) -> Flaw:
    names = [wire.start for wire in cycle]
    if len(names) > 12:
        names = [*names[:6], f"... {len(names) - 12} more ...", *names[-6:]]
    way = " → ".join([*names, cycle[0].source])
    return Flaw(max(wire.path for wire in cycle), f"{why}: {way}; {next_step}")


def _reached(flow: FlowFile, facts: Mapping[str, NodeFacts]) -> set[str]:
    """Return the nodes that something can come to. An I/O node with an outlet may be a source by itself."""
    edges = _edges(flow.wires)
    reached = {name for name in flow.nodes if name not in facts or _may_emit(facts[name])}
    reached |= {wire.to for wire in flow.wires if wire.outlet == "status"}
    waiting = deque(reached)
    while waiting:
        for wire in edges.get(waiting.popleft(), ()):
            if wire.to not in reached:
                reached.add(wire.to)
                waiting.append(wire.to)
    return reached


def _may_emit(fact: NodeFacts) -> bool:
    return not fact.is_transform and bool(fact.outlets)


def _edges(wires: Iterable[WireSpec]) -> Edges:
    edges: defaultdict[str, list[WireSpec]] = defaultdict(list)
    for wire in wires:
        edges[wire.source].append(wire)
    return edges


def _cycles(wires: Iterable[WireSpec], among: set[str]) -> Iterator[list[WireSpec]]:
    """Yield a short cycle from each knot (strongly connected set) of the nodes ``among``."""
    edges = _edges(wire for wire in wires if wire.source in among and wire.to in among)
    for knot in _knots(edges):
        yield _shortest_cycle(edges, knot)


def _knots(edges: Edges) -> Iterator[set[str]]:
    """Yield Tarjan's strongly connected sets that hold a cycle; a stack of its own, no recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    is_open: set[str] = set()
    for root in edges:
        if root in order:
            continue
        work = [(root, iter(edges[root]))]
        order[root] = low[root] = len(order)
        open_.append(root)
        is_open.add(root)
        while work:
            node, wires = work[-1]
            for wire in wires:
                to = wire.to
                if to not in order:
                    order[to] = low[to] = len(order)
                    open_.append(to)
                    is_open.add(to)
                    work.append((to, iter(edges.get(to, ()))))
                    break
                if to in is_open:
                    low[node] = min(low[node], order[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    yield from _close(node, open_, is_open, edges)


def _close(node: str, open_: list[str], is_open: set[str], edges: Edges) -> Iterator[set[str]]:
    at = len(open_) - 1
    while open_[at] != node:
        at -= 1
    knot = set(open_[at:])
    del open_[at:]
    is_open -= knot
    if len(knot) > 1 or any(wire.to == node for wire in edges.get(node, ())):
        yield knot


def _shortest_cycle(edges: Edges, knot: set[str]) -> list[WireSpec]:
    """Return the shortest way from the knot's first node (in the file's order) back to itself."""
    start = next(name for name in edges if name in knot)
    came_by: dict[str, WireSpec] = {}
    waiting = deque([start])
    while start not in came_by:
        for wire in edges.get(waiting.popleft(), ()):
            if wire.to in knot and wire.to not in came_by:
                came_by[wire.to] = wire
                waiting.append(wire.to)
    cycle = [came_by[start]]
    while cycle[-1].source != start:
        cycle.append(came_by[cycle[-1].source])
    return cycle[::-1]
