"""Reading flow files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from flowbus.errors import ConfigError
from flowbus.flowfile import MAX_FILE, FlowFile, from_value, load, parse

NODES = {"a": {"type": "x"}, "b": {"type": "x"}, "c": {"type": "x"}}


def flow(environ: dict[str, str] | None = None, **parts: Any) -> FlowFile:
    value = {"flowbus": 1, "nodes": NODES, **parts}
    return parse(json.dumps(value).encode(), "dir/my flow.json", environ=environ or {})


def errors(environ: dict[str, str] | None = None, **parts: Any) -> list[str]:
    return [f"{p.path}: {p.message}" for p in flow(environ, **parts).problems]


def one_wire(wire: Any) -> str:
    (error,) = errors(wires=[wire])
    return error


def test_a_whole_file() -> None:
    found = flow(
        name="line-3",
        note="hello",
        connections={"plc": {"type": "ads", "note": "the old one", "host": "h"}},
        nodes={"a": {"type": "x", "note": "n", "ttl": 2, "speed": 1}, "b": {"type": "y"}},
        wires=[["a", "b"]],
    ).require()
    assert (found.name, found.note) == ("line-3", "hello")
    plc = found.connections["plc"]
    assert (plc.type, plc.note, plc.options) == ("ads", "the old one", {"host": "h"})
    a, b = found.nodes["a"], found.nodes["b"]
    assert (a.type, a.note, a.ttl, a.options) == ("x", "n", 2.0, {"speed": 1})
    assert (b.ttl, b.options) == (None, {})
    (wire,) = found.wires
    assert (wire.source, wire.outlet, wire.to) == ("a", "out", "b")
    assert (wire.capacity, wire.when_full, wire.ttl, wire.buffer) == (128, "wait", None, "memory")
    assert found.base_dir == Path.cwd() / "dir"


def test_the_long_form_of_a_wire() -> None:
    wire = {
        "from": "a.some.case", "to": "b", "capacity": 1, "when_full": "drop-oldest", "ttl": 1.5,
        "buffer": "disk", "max_bytes": "1MB", "note": "n",
    }  # fmt: skip
    (found,) = flow(wires=[wire]).require().wires
    assert (found.source, found.outlet, found.label) == ("a", "some.case", "a.some.case→b")
    assert (found.capacity, found.when_full, found.ttl) == (1, "drop-oldest", 1.5)
    assert (found.buffer, found.max_bytes, found.note) == ("disk", 1 << 20, "n")


def test_a_ttl_of_zero_means_never() -> None:
    found = flow(
        nodes={"a": {"type": "x", "ttl": 0}}, wires=[{"from": "a", "to": "a", "ttl": 0}]
    ).require()
    assert found.nodes["a"].ttl == math.inf
    assert found.wires[0].ttl is None


@pytest.mark.parametrize(
    ("file", "name"),
    [("a/Line 3.json", "line-3"), ("x", "x"), ("3.json", "flow-3"), ("<stdin>", "stdin"),
     ("日本.json", "flow")],
)  # fmt: skip
def test_the_name_of_the_file_is_the_name_of_the_flow(file: str, name: str) -> None:
    assert from_value({"flowbus": 1, "nodes": {}}, file).name == name


def test_stars_stand_for_every_node_but_the_receiver() -> None:
    wires = [["*.error", "c"], ["*.status", "a"]]
    found = flow(wires=wires).require().wires
    assert [wire.label for wire in found] == [
        "a.error→c", "b.error→c", "b.status→a", "c.status→a",
    ]  # fmt: skip
    assert {wire.path for wire in found} == {("wires", 0), ("wires", 1)}


def test_a_wire_of_its_own_wins_over_a_star() -> None:
    own = {"from": "a.error", "to": "c", "capacity": 5}
    for wires in ([["*.error", "c"], own], [own, ["*.error", "c"]]):
        found = {wire.label: wire.capacity for wire in flow(wires=wires).require().wires}
        assert found == {"a.error→c": 5, "b.error→c": 128}


def test_disabled_nodes_and_their_wires_are_left_out() -> None:
    nodes = {**NODES, "b": {"type": "x", "disabled": True}}
    wires = [["a", "b"], ["b", "c"], ["a", "c"], ["*.error", "b"], ["*.error", "c"]]
    found = flow(nodes=nodes, wires=wires).require()
    assert set(found.nodes) == {"a", "c"}
    assert found.disabled == {"b"}
    assert [wire.label for wire in found.wires] == ["a→c", "a.error→c"]
    assert {wire.label for wire in found.idle_wires} == {"a→b", "b→c", "a.error→b", "c.error→b"}


def test_references_in_the_keys_of_nodes_and_wires() -> None:
    found = flow(
        {"OFF": "true", "N": "7", "NAME": "x"},
        name="${env:NAME}",
        nodes={**NODES, "b": {"type": "x", "disabled": "${env:OFF}"}},
        wires=[{"from": "a", "to": "c", "capacity": "${env:N}", "ttl": "${env:T:-3}"}],
    ).require()
    assert found.name == "x"
    assert found.disabled == {"b"}
    assert (found.wires[0].capacity, found.wires[0].ttl) == (7, 3.0)
    (error,) = errors(nodes={"a": {"type": "x", "ttl": "${env:NOPE}"}})
    assert error.startswith("nodes.a.ttl: the environment variable NOPE is not set")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"flowbus": 2}, "flowbus: unknown format version; this flowbus reads version 1"),
        ({"flowbus": True}, "flowbus: unknown format version"),
        ({"flowbus": "1"}, "flowbus: unknown format version"),
        ({"nmae": "x"}, 'nmae: unknown option "nmae" (did you mean "name"?)'),
        ({"name": "Line 3"}, 'name: bad name "Line 3": a name begins with a to z'),
        ({"name": 3}, "name: expected a text, got the number 3"),
        ({"nodes": []}, "nodes: expected an object, got a list"),
        ({"connections": None}, "connections: expected an object, got null"),
        ({"wires": {}}, "wires: expected a list, got an object"),
        ({"nodes": {"A": {"type": "x"}}}, 'nodes.A: bad name "A"'),
        ({"nodes": {"": {"type": "x"}}}, 'nodes[""]: bad name ""'),
        ({"nodes": {"a": "x"}}, "nodes.a: expected an object with a type"),
        ({"nodes": {"a": {"tpye": "x"}}}, 'nodes.a.type: missing: the type is needed here (did'),
        ({"nodes": {"a": {"type": 1}}}, "nodes.a.type: expected a text, got the number 1"),
        ({"nodes": {"a": {"type": "${env:X}"}}}, "nodes.a.type: a type cannot come from a ref"),
        ({"nodes": {"a": {"type": "x", "disabled": 1}}}, "nodes.a.disabled: expected true or fal"),
        ({"nodes": {"a": {"type": "x", "ttl": -1}}}, "nodes.a.ttl: must be at least 0"),
        ({"nodes": {"a": {"type": "x", "note": []}}}, "nodes.a.note: expected a text"),
        ({"connections": {"p": {}}}, "connections.p.type: missing"),
        ({"connections": {"p": {"type": "x", "note": 1}}}, "connections.p.note: expected a text"),
    ],
)  # fmt: skip
def test_errors_of_keys_and_names(parts: dict[str, Any], expected: str) -> None:
    (error,) = errors(**parts)
    assert error.startswith(expected)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (["a"], "wires[0]: a wire is [from, to], this list has 1 items"),
        (["a", "b", "c"], "wires[0]: a wire is [from, to], this list has 3 items"),
        ("a->b", 'wires[0]: a wire is [from, to] or {"from": ..., "to": ...}'),
        (["a", 1], "wires[0][1]: expected a text, got the number 1"),
        (["a", "d"], 'wires[0][1]: there is no node "d"'),
        (["aa", "b"], 'wires[0][0]: there is no node "aa" (did you mean "a"?)'),
        ({"from": "d.out", "to": "b"}, 'wires[0].from: there is no node "d"'),
        (["a.", "b"], 'wires[0][0]: "a.": the outlet is missing after the dot'),
        (["a", "b.out"], "wires[0][1]: a wire ends at a node, not at an outlet: write \"b\""),
        (["*", "b"], 'wires[0][0]: "*": * goes with "*.error" and "*.status" only'),
        (["*.out", "b"], 'wires[0][0]: "*.out": * goes with'),
        (["a", "*"], 'wires[0][1]: there is no node "*"'),
        ({"from": "a"}, "wires[0].to: missing: a text is needed here"),
        ({"from": "a", "to": "b", "size": 1}, 'wires[0].size: unknown option "size"'),
        ({"from": "a", "to": "b", "capacity": 0}, "wires[0].capacity: must be from 1 to 1000000"),
        ({"from": "a", "to": "b", "ttl": "5s"}, "wires[0].ttl: expected a number"),
        ({"from": "a", "to": "b", "when_full": "drop"}, "wires[0].when_full: expected"),
        ({"from": "a", "to": "b", "buffer": "ram"}, "wires[0].buffer: expected"),
        ({"from": "a", "to": "b", "max_bytes": "x"}, "wires[0].max_bytes: expected a size"),
    ],
)  # fmt: skip
def test_errors_of_wires(wire: Any, expected: str) -> None:
    assert one_wire(wire).startswith(expected)


def test_a_wire_that_is_there_twice() -> None:
    text = b"""{"flowbus": 1, "nodes": {"a": {"type": "x"}},
      "wires": [
        ["a", "a"],
        ["*.error", "a"],
        {"from": "a.out", "to": "a"},
        ["*.error", "a"]]}"""
    assert [str(p) for p in parse(text, "f").problems] == [
        "f:5:9: wires[2]: the wire a→a is here twice, first in line 3",
        "f:6:9: wires[3]: the wire *.error→a is here twice, first in line 4",
    ]


def test_a_node_that_is_wrong_in_itself_is_still_there_for_its_wires() -> None:
    assert len(errors(nodes={**NODES, "B": 5}, wires=[["a", "B"], ["B.x", "a"]])) == 2


def test_every_error_is_reported_at_its_place_in_the_order_of_the_file() -> None:
    text = b"""{
      "flowbus": 1,
      "nodes": {"a": {"type": "x", "ttl": "no"},
                "a": {"type": "x"},
                "B": {"note": 1}},
      "wires": [["a", "x"]],
      "more": 1
    }"""
    assert [(p.line, p.column, p.path) for p in parse(text, "f").problems] == [
        (3, 43, "nodes.a.ttl"),
        (4, 17, "nodes.a"),
        (5, 17, "nodes.B"),
        (5, 22, "nodes.B.type"),
        (5, 31, "nodes.B.note"),
        (6, 23, "wires[0][1]"),
        (7, 7, "more"),
    ]


@pytest.mark.parametrize("text", [b"[]", b"5", b'"x"', b"null"])
def test_what_is_no_object(text: bytes) -> None:
    assert [p.message for p in parse(text, "f").problems] == ["a flow file is an object: { ... }"]


def test_a_broken_text_reports_the_text_alone() -> None:
    (problem,) = parse(b'{"flowbus": 1,\n "nodes" {}}', "f").problems
    assert str(problem) == 'f:2:10: (top level): expected ":" after the key "nodes", found "{"'


def test_the_version_is_needed() -> None:
    (problem,) = from_value({"nodes": {}}).problems
    assert problem.message == 'the format version is missing: write "flowbus": 1 at the top'


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    big = tmp_path / "big.json"
    with big.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    cases: list[tuple[Path | str, str]] = [
        (tmp_path / "nope.json", "there is no such file"),
        (tmp_path, "this is a folder, not a flow file"),
        (big, "the file is larger than 16 MiB"),
        ("a\0b", "the file cannot be read: embedded null byte"),
    ]
    for path, why in cases:
        found = load(path)
        assert [p.message for p in found.problems] == [why]
        with pytest.raises(ConfigError, match=why):
            found.require()


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "my-flow.json"
    file.write_text('{"flowbus": 1, "nodes": {}}')
    found = load(file).require()
    assert (found.name, found.base_dir) == ("my-flow", tmp_path)
