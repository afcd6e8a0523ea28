"""Checking a flow against the installed types, and the schema of the same."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec import Meta, field

from flowbus.check import check, check_file
from flowbus.config import ByteSize, Config, FilePath, Ref
from flowbus.connections import ConnectionIO, connection
from flowbus.errors import ConfigError
from flowbus.flowfile import FlowFile, parse
from flowbus.message import Message
from flowbus.node import io_node, transform
from flowbus.nodeio import NodeIO
from flowbus.plan import Checked
from flowbus.plugins import Failed, Registry
from flowbus.schema import flow_schema
from flowbus.secrets import Redactor, Secret
from flowbus.template import Template
from flowbus.tls import TLS


class PlcOptions(Config):
    """A PLC."""

    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 48898
    password: Secret | None = None
    tls: TLS | None = None


class WriteOptions(Config):
    connection: Ref["plc"]
    symbol: Annotated[Template, Meta(description="What to write to.")]
    mode: Literal["once", "always"] = "once"
    room: ByteSize = 1024
    names: Annotated[tuple[str, ...], Meta(min_length=1)] = ("x",)
    scale: dict[str, float] = field(default_factory=dict)
    pair: tuple[int, str] = (1, "x")
    either: bool | int | None = None
    file: FilePath | None = None
    code: Annotated[str, Meta(pattern="^[A-Z]$")] = "A"


class Cases(Config):
    cases: dict[str, str] = field(default_factory=dict)


class Nothing(Config):
    """No options."""


@connection("plc")
async def plc(config: PlcOptions, io: ConnectionIO) -> AsyncIterator[str]:
    """A PLC of the tests."""
    yield config.host


@transform("map")
def map_(message: Message, config: Nothing) -> Message:
    """Change."""
    return message


@transform("switch", outlets=lambda config: (*config.cases, "else"))
def switch(message: Message, config: Cases) -> Message:
    """Choose."""
    return message


def _odd(config: Cases) -> tuple[str, ...]:
    if "bad" in config.cases:
        raise ValueError('a case cannot be called "bad"')
    return (config.cases["x"][5:] or config.cases["y"],)


@transform("odd", outlets=_odd)
def odd(message: Message, config: Cases) -> Message:
    return message


@io_node("plc-write", outlets=())
async def plc_write(config: WriteOptions, io: NodeIO) -> None:
    """Write."""


@io_node("source")
async def source(config: Nothing, io: NodeIO) -> None:
    """Emit."""


@io_node("socket", duplex=True)
async def socket(config: Nothing, io: NodeIO) -> None:
    """Both ways."""


NODES = {kind.name: kind for kind in (map_, switch, odd, plc_write, source, socket)}


@pytest.fixture(name="registry")
def _registry() -> Registry:
    return installed()


def installed() -> Registry:
    registry = Registry()
    registry.add("test", {"nodes": dict(NODES), "connections": {"plc": plc}})
    registry.add("other", {"nodes": {"mqtt-out": "flowbus_no_such_module:node"}})
    registry.failed["gone"] = Failed("gone-plugin", "it is too old")
    return registry


GOOD: dict[str, Any] = {
    "flowbus": 1,
    "name": "good",
    "note": "n",
    "connections": {"line": {"type": "plc", "note": "n", "host": "h", "port": "${env:PORT}"}},
    "nodes": {
        "in": {"type": "source", "note": "n"},
        "route": {"type": "switch", "cases": {"a": "x", "b": "y"}},
        "map": {"type": "map"},
        "write": {
            "type": "plc-write", "connection": "line", "symbol": "MAIN.{topic}", "ttl": 3,
            "mode": "always", "room": "64KB", "names": ["a"], "scale": {"x": 1}, "pair": [1, "a"],
            "either": True, "file": "f", "code": "B",
        },
        "off": {"type": "not-installed", "disabled": True, "any": 1},
        "sock": {"type": "socket", "disabled": "${env:NO_SOCK:-false}"},
    },
    "wires": [
        ["in", "route"],
        ["route.a", "map"],
        {"from": "route.b", "to": "map", "when_full": "drop-oldest", "capacity": 10, "ttl": 0.5},
        ["route.else", "write"],
        ["map", "write"],
        ["sock", "write"],
        ["*.error", "sock"],
        ["*.status", "sock"],
        ["off", "write"],
    ],
}  # fmt: skip
ENV = {"PORT": "80", "ROOM": "2KB"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """``GOOD`` with one value replaced, or taken out where it is None."""
    flow = copy.deepcopy(GOOD)
    *way, last = path.split("/")
    place: Any = flow
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    elif isinstance(place, list):
        place.append(value) if last == "-" else place.__setitem__(int(last), value)
    else:
        place[last] = value
    return flow


def run(value: Any, registry: Registry, file: str = "f.json") -> Checked:
    return check(parse(json.dumps(value).encode(), file, environ=ENV), registry, environ=ENV)


def errors(value: Any, registry: Registry) -> list[str]:
    return [f"{p.path}: {p.message}" for p in run(value, registry).errors]


def test_a_good_flow_has_nothing_to_say(registry: Registry) -> None:
    checked = run(GOOD, registry).require()
    assert checked.problems == ()
    assert checked.ok
    write = checked.nodes["write"]
    assert write.config == WriteOptions(
        connection="line",  # type: ignore[arg-type]
        symbol=Template("MAIN.{topic}"), mode="always", room=65536,
        names=("a",), scale={"x": 1.0}, pair=(1, "a"), either=True,
        file=str(Path.cwd() / "f"), code="B",
    )  # fmt: skip
    assert checked.nodes["route"].outlets == ("a", "b", "else")
    assert checked.connections["line"].config == PlcOptions(host="h", port=80)
    assert set(checked.nodes) == {"in", "route", "map", "write", "sock"}


BAD: list[tuple[str, Any, str]] = [
    ("nodes/map/type", "mapp", 'nodes.map.type: there is no node type "mapp" (did you mean "map"?)'),
    ("nodes/map/type", "plc", 'nodes.map.type: "plc" is no node type; it belongs under "connec'),
    ("connections/line/type", "map", 'connections.line.type: "map" is no connection type; it bel'),
    ("nodes/map/nope", 1, 'nodes.map.nope: unknown option "nope" (did you mean "note"?); there are'),
    ("nodes/map/disabeld", True, 'nodes.map.disabeld: unknown option "disabeld" (did you mean "d'),
    ("nodes/write/connection", "lin", 'nodes.write.connection: there is no connection "lin" (did'),
    ("nodes/write/connection", None, "nodes.write.connection: missing: the name of a connection"),
    ("nodes/write/symbol", "{x}", "nodes.write.symbol: unknown template gap {x}"),
    ("nodes/write/mode", "twice", 'nodes.write.mode: expected "always" or "once"'),
    ("nodes/write/room", "64XB", "nodes.write.room: expected a size"),
    ("nodes/write/names", [], "nodes.write.names: must not be empty"),
    ("nodes/write/names", "a", "nodes.write.names: expected a list"),
    ("nodes/write/scale", {"x": "1"}, "nodes.write.scale.x: expected a number"),
    ("nodes/write/pair", [1], "nodes.write.pair: needs exactly 2 items"),
    ("nodes/write/either", 1.5, "nodes.write.either: expected true or false or a whole number"),
    ("nodes/write/code", "b", "nodes.write.code: must match the pattern"),
    ("nodes/write/ttl", -1, "nodes.write.ttl: must be at least 0"),
    ("nodes/route/cases", [1], "nodes.route.cases: expected an object"),
    ("connections/line/host", None, "connections.line.host: missing: a text is needed here"),
    ("connections/line/port", 0, "connections.line.port: must be from 1 to 65535"),
    ("connections/line/port", True, "connections.line.port: expected a whole number, got true"),
    ("connections/line/tls", {"verify": 1}, "connections.line.tls.verify: expected true or fal"),
    ("connections/line/tls", {"cert": 1}, "connections.line.tls.cert: expected the path of a f"),
    ("wires/0/0", "inn", 'wires[0][0]: there is no node "inn" (did you mean "in"?)'),
    ("wires/1/0", "route.c", 'wires[1][0]: route has no outlet "c"; it has a, b, else, error, st'),
    ("wires/2/from", "route.bb", 'wires[2].from: route has no outlet "bb" (did you mean "b"?)'),
    ("wires/-", ["write", "map"], 'wires[9][0]: write has no outlet "out"; it has error, status'),
    ("wires/-", ["map", "route"], "wires[9]: a cycle of transforms alone would never end"),
    ("wires/-", {"from": "in", "to": "write", "buffer": "disk"}, "wires[9].buffer: disk wires a"),
    ("wires/-", {"from": "in", "to": "write", "max_bytes": 1}, "wires[9].max_bytes: max_bytes g"),
    ("wires/-", {"from": "in", "to": "write", "size": 1}, "wires[9].size: unknown option"),
    ("wires/-", ["in"], "wires[9]: a wire is [from, to]"),
    ("flowbus", 2, "flowbus: unknown format version"),
    ("flowbus", None, "(top level): the format version is missing"),
    ("nodes", None, "nodes: missing: an object is needed here"),
    ("name", "Bad Name", "name: bad name"),
    ("more", 1, "more: unknown option"),
]  # fmt: skip

#: What the schema cannot know: names that refer to others, templates, wires that do not fit.
BEYOND_SCHEMA = (
    "there is no connection", "there is no node ", "has no outlet", "a cycle", "disk wires",
    "max_bytes g", "template gap",
)  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), BAD)
def test_each_error(registry: Registry, path: str, value: Any, expected: str) -> None:
    found = errors(changed(path, value), registry)
    assert any(text.startswith(expected) for text in found), found


def test_a_type_whose_plugin_did_not_load(registry: Registry) -> None:
    (found, *_) = errors(changed("nodes/map/type", "mqtt-out"), registry)
    assert found == (
        'nodes.map.type: the node type "mqtt-out" of other cannot be used: ModuleNotFoundError: '
        "No module named 'flowbus_no_such_module'; install it with: pip install "
        "flowbus_no_such_module"
    )
    (found, *_) = errors(changed("nodes/map/type", "gone"), registry)
    assert (
        found == 'nodes.map.type: the node type "gone" of gone-plugin cannot be used: it is too old'
    )


def test_only_the_types_of_the_flow_are_loaded() -> None:
    registry = Registry()
    registry.add("test", {"nodes": {"source": source, "other": "no_such_module:x"}})
    value = {"flowbus": 1, "nodes": {"in": {"type": "source"}}}
    assert run(value, registry).ok
    assert registry.failed == {}


def test_a_connection_of_the_wrong_type(registry: Registry) -> None:
    class Other(Config):
        """Another."""

    @connection("broker")
    async def broker(config: Nothing, io: ConnectionIO) -> AsyncIterator[None]:
        yield None

    registry.add("test", {"connections": {"broker": broker}})
    flow = changed("connections/mq", {"type": "broker"})
    flow["nodes"]["write"]["connection"] = "mq"
    assert errors(flow, registry) == [
        'nodes.write.connection: the connection "mq" is of type broker, not plc'
    ]


def test_a_connection_that_is_wrong_in_itself_is_still_there(registry: Registry) -> None:
    flow = changed("connections/line", 5)
    assert errors(flow, registry) == ["connections.line: expected an object with a type"]


def test_a_connection_is_checked_even_where_other_options_are_wrong(registry: Registry) -> None:
    flow = changed("nodes/write/mode", "x")
    flow["nodes"]["write"]["connection"] = "nope"
    assert len(errors(flow, registry)) == 2


def test_outlets_that_the_type_refuses(registry: Registry) -> None:
    flow = changed("nodes/map", {"type": "odd", "cases": {"bad": "x"}})
    assert 'nodes.map: a case cannot be called "bad"' in errors(flow, registry)
    flow = changed("nodes/map", {"type": "odd", "cases": {"x": "x"}})
    assert "nodes.map: the type odd cannot tell its outlets: KeyError: 'y'" in errors(
        flow, registry
    )


def test_references_that_fail_are_reported_at_their_place(registry: Registry) -> None:
    text = b"""{"flowbus": 1, "connections": {
      "a": {"type": "plc", "host": "${env:NOPE}", "password": "${file:nope}"}},
      "nodes": {"w": {"type": "plc-write", "connection": "a", "symbol": "x"}}}"""
    found = check(parse(text, "/dir/f.json"), registry, environ={}).errors
    assert [str(problem) for problem in found] == [
        (
            "/dir/f.json:2:36: connections.a.host: the environment variable NOPE is not set; set it, "
            "or give a default: ${env:NOPE:-default}"
        ),
        (
            "/dir/f.json:2:63: connections.a.password: cannot read the file /dir/nope: no such file or "
            "directory"
        ),
    ]


def test_files_that_options_name_are_looked_at(registry: Registry) -> None:
    flow = changed("connections/line/tls", {"ca": "no-such-ca.pem"})
    (found,) = errors(flow, registry)
    assert found.startswith("connections.line.tls.ca: cannot read the file")


class Filed(Config):
    """Options with a file that is never right."""

    inner: Annotated[str, Meta(description="A file.")] = ""
    where: Annotated[str, Meta(description="Which option is at fault.")] = ""

    def check_files(self) -> None:
        """Find fault."""
        raise ConfigError("is no good", option=self.where)


@transform("filed")
def filed(message: Message, config: Filed) -> Message:
    return message


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", "f:2:6: nodes.x: is no good"),
        ("inner", "f:3:11: nodes.x.inner: is no good"),
        ("inner.deeper", "f:3:11: nodes.x.inner.deeper: is no good"),
        ("absent", "f:2:6: nodes.x.absent: is no good"),
    ],
)
def test_a_file_is_found_fault_with_at_its_option(where: str, expected: str) -> None:
    registry = installed()
    registry.add("test", {"nodes": {"filed": filed}})
    text = (
        f'{{"flowbus": 1, "wires": [], "nodes": {{\n"x": {{"type": "filed", "where": "{where}",\n'
        ' "inner": "a"}}}'
    )
    (found,) = [p for p in check(parse(text.encode(), "f"), registry).problems if p.severity == "error"]
    assert str(found) == expected


def test_the_redactor_learns_secrets_and_no_problem_shows_one(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "pw").write_text("hunter22\n")
    redactor = Redactor()
    flow = changed("connections/line/password", "${file:pw}")
    flow["connections"]["line"]["port"] = "${file:pw}"
    flow["nodes"]["write"]["connection"] = "hunter22"
    text = json.dumps(flow).encode()
    checked = check(
        parse(text, str(tmp_path / "f.json"), environ=ENV),
        registry, environ=ENV, redactor=redactor,
    )  # fmt: skip
    assert len(checked.errors) == 2
    assert not any("hunter22" in str(problem) for problem in checked.problems)
    assert redactor.redact("hunter22") == "***"


def test_warnings_do_not_keep_a_flow_from_running(registry: Registry) -> None:
    flow = changed("nodes/lost", {"type": "map"})
    flow["connections"]["spare"] = {"type": "plc", "host": "h"}
    del flow["nodes"]["off"], flow["wires"][-1]
    checked = run(flow, registry).require()
    assert [str(problem).partition(": ")[2] for problem in checked.warnings] == [
        "connections.spare: warning: no node uses this connection",
        "nodes.lost: warning: no source leads to this node",
        'nodes.lost: warning: outlet "out" has no wire',
    ]


def test_errors_of_the_file_and_of_the_types_come_in_one_go(registry: Registry) -> None:
    text = b"""{"flowbus": 1, "nmae": "x",
      "nodes": {"a": {"type": "mapp"},
                "a": {"type": "map"},
                "b": {"type": "plc-write", "connection": "x", "symbol": "{", "mode": 1},
                "c": {"type": "switch", "cases": {"x": 5}}},
      "wires": [["a", "d"], ["c.y", "b"], ["c"]]}"""
    checked = check(parse(text, "f"), registry)
    places = [(problem.line, problem.path) for problem in checked.errors]
    assert places == [
        (1, "nmae"), (2, "nodes.a.type"), (3, "nodes.a"), (4, "nodes.b.connection"),
        (4, "nodes.b.symbol"), (4, "nodes.b.mode"), (5, "nodes.c.cases.x"),
        (6, "wires[0][1]"), (6, "wires[2]"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="f:1:16: nmae: unknown option"):
        checked.require()


def test_an_empty_flow(registry: Registry) -> None:
    checked = run({"flowbus": 1, "nodes": {}}, registry)
    assert checked.ok
    assert [problem.message for problem in checked.warnings] == ["there is no node that would run"]


def test_check_file(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_text(json.dumps(GOOD))
    assert check_file(file, registry, environ=ENV).ok
    assert not check_file(tmp_path / "nope.json", registry).ok


# ---- the schema


@pytest.fixture(name="schema", scope="module")
def _schema() -> jsonschema.Draft202012Validator:
    schema = flow_schema(installed())
    json.dumps(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_takes_a_good_flow(schema: jsonschema.Draft202012Validator) -> None:
    assert [error.message for error in schema.iter_errors(GOOD)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("nodes/write/room", 64), ("nodes/write/room", "${env:ROOM}"),
        ("nodes/write/names", "${env:NAMES:-[\"a\"]}"), ("nodes/write/mode", "${env:M:-once}"),
        ("nodes/write/code", "${env:C:-Q}"), ("nodes/write/either", "${env:E:-true}"),
        ("nodes/write/scale", {"x": "${env:S:-1}"}), ("nodes/write/pair", [1, "x"]),
        ("nodes/write/ttl", "${env:T:-5}"), ("nodes/write/disabled", False),
        ("name", "${env:N:-name}"), ("connections/line/tls", {"verify": False}),
        ("connections/line/password", "x"), ("wires/2/capacity", "${env:C:-5}"),
    ],
)  # fmt: skip
def test_the_schema_takes_what_check_takes(
    schema: jsonschema.Draft202012Validator, registry: Registry, path: str, value: Any
) -> None:
    flow = changed(path, value)
    assert errors(flow, registry) == []
    assert [error.message for error in schema.iter_errors(flow)] == []


@pytest.mark.parametrize(("path", "value", "expected"), BAD)
def test_the_schema_refuses_what_check_refuses(
    schema: jsonschema.Draft202012Validator, path: str, value: Any, expected: str
) -> None:
    if not any(part in expected for part in BEYOND_SCHEMA):
        assert not schema.is_valid(changed(path, value))


def test_the_schema_describes_options(schema: jsonschema.Draft202012Validator) -> None:
    write = schema.schema["$defs"]["node:plc-write"]
    assert write["description"] == "Write"
    assert write["properties"]["symbol"]["description"] == "What to write to."
    assert write["properties"]["room"]["default"] == 1024
    assert write["required"] == ["type", "connection", "symbol"]
    assert "not-installed" not in json.dumps(schema.schema)
    assert "mqtt-out" not in json.dumps(schema.schema)


# ---- whatever the file holds, check answers

SCRAPS = ["", "{", "}", "[", "]", ",", ":", '"', "\\", "0", "-", "e9", "null", "true", "NaN", "é",
          "${", "}", "\n", "//", "\x00", "\ud800", "a" * 300, '"a":1,', "*.error"]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**30, 1e300, "", "a", "${env:X}", "${file:x}", "${", "{topic}",
    "*.error", "route.a", [], {}, [[]], [1, 2], {"a": 1}, {"type": "map"}, {"": {}}, "\x00",
]  # fmt: skip


def mutated_text(rng: random.Random) -> bytes:
    text = json.dumps(GOOD, indent=rng.choice([None, 1]))
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.choice([0, 0, 1, 2, 40]))
        text = text[:start] + rng.choice(SCRAPS) + text[end:]
    return text.encode("utf-8", rng.choice(["surrogatepass", "replace"]))


def mutated_value(rng: random.Random) -> bytes:
    flow = copy.deepcopy(GOOD)
    for _ in range(rng.randint(1, 4)):
        place, key = rng.choice([*places(flow)])
        what = rng.random()
        if what < 0.2:
            del place[key]
        elif what < 0.4 and isinstance(place, dict):
            place[rng.choice(["x", "type", "Ä", "", "note", "a b"])] = place.pop(key)
        else:
            place[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(flow).encode()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in [*value] if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.parametrize("mutate", [mutated_text, mutated_value])
def test_a_mutated_flow_gives_problems_or_a_flow(
    registry: Registry, schema: jsonschema.Draft202012Validator, mutate: Any, seed: int
) -> None:
    text = mutate(random.Random(seed))
    flow = parse(text, "f.json", environ=ENV)
    checked = check(flow, registry, environ=ENV)
    lines = text.decode("utf-8", "replace").splitlines() or [""]
    for problem in checked.problems:
        assert str(problem).isprintable()
        assert 1 <= problem.line <= len(lines) + 1
        assert problem.column >= 1
    if checked.ok:
        assert schema.is_valid(json.loads(text))
        assert isinstance(checked.require().flow, FlowFile)
        assert set(checked.nodes) == set(flow.nodes)
        assert {wire.to for wire in flow.wires} <= set(flow.nodes)
        assert {wire.source for wire in flow.wires} <= set(flow.nodes)
