"""Cycles, unreachable nodes and unwired outlets."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from flowbus.flowfile import FlowFile, from_value
from flowbus.graph import NodeFacts, cycles, loose_ends

TRANSFORM = NodeFacts(True, False, ("out",))
IO = NodeFacts(False, False, ("out",))
DUPLEX = NodeFacts(False, True, ("out",))
SINK = NodeFacts(False, False, ())


def build(wires: list[Any], **facts: NodeFacts) -> tuple[FlowFile, dict[str, NodeFacts]]:
    nodes = {name: {"type": "x"} for name in facts}
    return from_value({"flowbus": 1, "nodes": nodes, "wires": wires}).require(), facts


def drop(source: str, to: str) -> dict[str, str]:
    return {"from": source, "to": to, "when_full": "drop-newest"}


def test_a_cycle_of_transforms_alone_is_refused_whatever_its_wires_do() -> None:
    for wires in ([["a", "b"], ["b", "a"]], [drop("a", "b"), drop("b", "a")]):
        (flaw,) = cycles(*build(wires, a=TRANSFORM, b=TRANSFORM))
        assert flaw.text.startswith("a cycle of transforms alone would never end: a → b → a;")
        assert flaw.path == ("wires", 1)


def test_a_transform_wired_to_itself() -> None:
    (flaw,) = cycles(*build([["a", "a"]], a=TRANSFORM))
    assert "a → a" in flaw.text


def test_a_cycle_of_waiting_wires_is_refused() -> None:
    wires = [["a", "b"], ["b", "c"], ["c.out", "a"]]
    (flaw,) = cycles(*build(wires, a=IO, b=TRANSFORM, c=TRANSFORM))
    assert flaw.text.startswith("every wire of this cycle waits, so it stands still once it is")
    assert "a → b → c → a" in flaw.text


@pytest.mark.parametrize("when_full", ["drop-oldest", "drop-newest", "reject"])
def test_one_wire_that_does_not_wait_breaks_it(when_full: str) -> None:
    back = {"from": "b", "to": "a", "when_full": when_full}
    assert cycles(*build([["a", "b"], back], a=IO, b=TRANSFORM)) == []


def test_a_duplex_node_breaks_it() -> None:
    assert cycles(*build([["a", "b"], ["b", "a"]], a=DUPLEX, b=TRANSFORM)) == []
    assert cycles(*build([["a", "a"]], a=DUPLEX)) == []


def test_wires_for_errors_and_statuses_do_not_count() -> None:
    wires = [["a", "b"], ["b.error", "a"], ["b.status", "a"], ["*.error", "a"]]
    assert cycles(*build(wires, a=TRANSFORM, b=TRANSFORM)) == []


def test_a_node_that_is_not_known_breaks_it() -> None:
    flow, _ = build([["a", "b"], ["b", "a"]], a=TRANSFORM, b=TRANSFORM)
    assert cycles(flow, {"a": TRANSFORM}) == []


def test_each_knot_is_reported_once() -> None:
    wires = [["a", "b"], ["b", "a"], ["b", "c"], ["c", "d"], ["d", "e"], ["e", "d"], ["d", "c"]]
    names = dict.fromkeys("abcde", TRANSFORM)
    assert len(cycles(*build(wires, **names))) == 2


def test_the_shortest_cycle_from_the_first_node_is_named() -> None:
    wires = [["a", "b"], ["b", "c"], ["c", "a"], ["b", "a"]]
    (flaw,) = cycles(*build(wires, **dict.fromkeys("abc", TRANSFORM)))
    assert "a → b → a" in flaw.text


def test_diamonds_are_no_cycles() -> None:
    wires = [["a", "b"], ["a", "c"], ["b", "d"], ["c", "d"]]
    assert cycles(*build(wires, **dict.fromkeys("abcd", TRANSFORM))) == []


def test_long_chains_and_long_cycles_need_no_recursion() -> None:
    names = [f"n{i}" for i in range(5000)]
    chain = [[a, b] for a, b in pairwise(names)]
    facts = dict.fromkeys(names, TRANSFORM)
    assert cycles(*build(chain, **facts)) == []
    (flaw,) = cycles(*build([*chain, ["n4999", "n0"]], **facts))
    assert "4988 more" in flaw.text
    assert loose_ends(*build([["src", "n0"], *chain], src=IO, **facts))


def test_what_no_source_leads_to() -> None:
    wires = [["src", "a"], ["a", "sink"], ["b", "lost"], ["c", "b"]]
    flow, facts = build(
        wires, src=IO, a=TRANSFORM, sink=SINK, b=TRANSFORM, c=TRANSFORM, lost=SINK, alone=SINK
    )
    found = {f.path[1] for f in loose_ends(flow, facts) if "no source" in f.text}
    assert found == {"b", "c", "lost", "alone"}


def test_statuses_and_errors_lead_somewhere() -> None:
    wires = [["*.status", "log"], ["sink.error", "alarm"], ["src", "sink"]]
    flow, facts = build(wires, src=IO, sink=SINK, log=SINK, alarm=SINK)
    assert loose_ends(flow, facts) == []


def test_outlets_without_a_wire() -> None:
    three = NodeFacts(False, False, ("out", "connection", "request"))
    flow, facts = build([["a", "b"]], a=three, b=TRANSFORM)
    assert {f.path[1]: f.text for f in loose_ends(flow, facts)} == {
        "a": 'outlets "connection", "request" have no wire',
        "b": 'outlet "out" has no wire',
    }


def test_a_duplex_node_is_useful_for_what_it_takes() -> None:
    server = NodeFacts(False, True, ("out", "connection"))
    flow, facts = build([["a", "b"]], a=server, b=server)
    assert loose_ends(flow, facts) == []


def test_a_wire_to_a_disabled_node_is_a_wire() -> None:
    nodes = {"a": {"type": "x"}, "b": {"type": "x", "disabled": True}}
    flow = from_value({"flowbus": 1, "nodes": nodes, "wires": [["a", "b"]]}).require()
    assert loose_ends(flow, {"a": IO}) == []
