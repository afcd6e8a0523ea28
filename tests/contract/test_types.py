"""What every node and connection type owes its users, whoever wrote it.

Runs over all that is installed, so it is the suite to run against a plugin of one's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from flowbus import plugins
from flowbus.check import check
from flowbus.config import Config, Option, configure, options, shape_of
from flowbus.connections import ConnectionType
from flowbus.flowfile import from_value
from flowbus.flowkeys import NAME, ConnectionKeys, NodeKeys
from flowbus.node import RESERVED_OUTLETS, NodeType
from flowbus.problem import Flaw
from flowbus.shape import CONNECTION, bare

REGISTRY = plugins.installed()
NODES = [*filter(None, map(REGISTRY.nodes.get, REGISTRY.nodes))]
CONNECTIONS = [*filter(None, map(REGISTRY.connections.get, REGISTRY.connections))]
TYPES: list[Any] = [*NODES, *CONNECTIONS]

nested: list[Any] = []
for _ in range(100):
    nested = [nested]
WRONG: list[Any] = [
    None, True, False, -1, 0, 10**30, -(10**30), 1e308, 0.5, "", " ", "x" * 100, "\x00", "\ud800", "${env:NOT_SET_AT_ALL}",
    "$${", "{", "{payload.}", "-----BEGIN CERTIFICATE-----", [], {}, [None], [[]], {"": {}}, {"a": [{"b": None}]}, nested,
    {"x" * 100: nested}, [{"name": "x"}],
]  # fmt: skip


def every(kinds: list[Any]) -> pytest.MarkDecorator:
    def name(kind: Any) -> str:
        return f"{'node' if isinstance(kind, NodeType) else 'connection'}-{kind.name}"

    return pytest.mark.parametrize("kind", kinds, ids=name)


def part_of(kind: Any) -> str:
    return "nodes" if isinstance(kind, NodeType) else "connections"


def keys_of(kind: Any) -> tuple[str, ...]:
    keys = NodeKeys if isinstance(kind, NodeType) else ConnectionKeys
    return keys.__struct_encode_fields__


def decoded(kind: Any, raw: dict[str, Any]) -> tuple[Any, list[Flaw]]:
    config, flaws = configure(kind.config_type, raw, Path(), environ={}, other_keys=keys_of(kind))
    assert (config is None) == bool(flaws)
    return config, flaws


def likely(shape: inspect.Type) -> Any:
    """A value that an option of this type may well take."""
    plain, marks = bare(shape)
    if marks.get(CONNECTION):
        return "peer"
    if isinstance(plain, inspect.LiteralType):
        return plain.values[0]
    if isinstance(plain, inspect.EnumType):
        return next(iter(plain.cls)).value
    if isinstance(plain, inspect.IntType | inspect.FloatType):
        return 1 if plain.ge is None else max(1, plain.ge)
    if isinstance(plain, inspect.BoolType):
        return True
    if isinstance(plain, inspect.UnionType):
        return likely(plain.types[0])
    if isinstance(plain, inspect.ListType | inspect.VarTupleType | inspect.SetType):
        return [likely(plain.item_type)]
    if isinstance(plain, inspect.DictType):
        return {"a": likely(plain.value_type)}
    if isinstance(plain, inspect.StructType):
        return {field.encode_name: likely(field.type) for field in plain.fields if field.required}
    return "a"


#: What guessing from the types of the options does not find.
SAMPLES: dict[str, dict[str, Any]] = {
    "map": {"payload": "payload"},
    "jwt-sign": {"jwt": {"algorithm": "HS256", "secret": "a secret for the contract suite only"}},
    "jwt-verify": {"jwt": {"algorithm": "HS256", "secret": "a secret for the contract suite only"}},
    "ads-read": {"connection": "peer", "symbol": "MAIN.a"},
    "ads-write": {"connection": "peer", "symbol": "MAIN.a"},
    "websocket-client": {"url": "ws://localhost:8000"},
    "mqtt": {"url": "mqtt://localhost:1883"},
    "ads": {"host": "127.0.0.1"},
}


def sample(kind: Any) -> dict[str, Any]:
    guess: dict[str, Any] = likely(shape_of(kind.config_type))
    return SAMPLES.get(kind.name, guess)


def every_option(config_type: type[Config]) -> list[Option]:
    found, left = [], [*options(config_type)]
    while left:
        option = left.pop()
        found.append(option)
        left += option.options
    return found


def assert_readable(text: str) -> None:
    assert text
    assert text == text.strip()
    assert text.isprintable(), repr(text)
    assert len(text) < 600, text


def test_all_that_is_installed_can_be_loaded() -> None:
    assert REGISTRY.failed == {}
    assert REGISTRY.broken_plugins == {}


@every(TYPES)
def test_it_has_a_name_a_summary_and_a_plugin(kind: Any) -> None:
    assert NAME.fullmatch(kind.name)  # also its anchor in the docs
    assert (
        REGISTRY.nodes[kind.name] is kind
        if isinstance(kind, NodeType)
        else REGISTRY.connections[kind.name] is kind
    )
    assert kind.plugin
    assert_readable(kind.summary)
    assert len(kind.summary) <= 120
    assert kind.summary[0].isupper()


@every(TYPES)
def test_every_option_is_described(kind: Any) -> None:
    assert issubclass(kind.config_type, Config)
    for option in every_option(kind.config_type):
        assert option.description, f"{kind.name}.{option.name}"
        assert_readable(option.description)


@every(TYPES)
def test_no_option_hides_a_key_of_the_flow_file(kind: Any) -> None:
    assert not {option.name for option in options(kind.config_type)} & set(keys_of(kind))


@every(TYPES)
def test_options_that_stand_for_a_connection_name_a_type_that_exists(kind: Any) -> None:
    for option in every_option(kind.config_type):
        assert option.connection is None or option.connection in REGISTRY.connections


@every(TYPES)
def test_without_options_it_says_what_is_missing(kind: Any) -> None:
    _, flaws = decoded(kind, {})
    required = {option.name for option in options(kind.config_type) if option.required}
    missing = {
        name
        for name in required
        for flaw in flaws
        if name in (*flaw.path, *re.findall(r"\w+", flaw.text))
    }
    assert missing == required
    for flaw in flaws:
        assert_readable(flaw.text)


@every(TYPES)
def test_a_likely_config_is_accepted_and_cannot_be_changed(kind: Any) -> None:
    config, flaws = decoded(kind, sample(kind))
    if flaws:
        pytest.skip(f"add a sample of {kind.name}: {flaws[0].text}")
    field = next(iter(config.__struct_fields__), None)
    if field is not None:
        with pytest.raises(AttributeError):
            setattr(config, field, None)


@every(TYPES)
def test_an_unknown_option_is_refused_by_name(kind: Any) -> None:
    _, flaws = decoded(kind, {**sample(kind), "no_such_option": 1})
    assert any("no_such_option" in (*flaw.path, *re.findall(r"\w+", flaw.text)) for flaw in flaws)


@every(TYPES)
def test_a_wrong_value_for_an_option_is_a_flaw_and_no_traceback(kind: Any) -> None:
    for option in options(kind.config_type):
        for wrong in WRONG:
            _, flaws = decoded(kind, {**sample(kind), option.name: wrong})
            for flaw in flaws:
                assert_readable(flaw.text)


@every(TYPES)
def test_a_value_that_no_json_type_of_the_option_fits_is_refused_at_its_place(kind: Any) -> None:
    for field in shape_of(kind.config_type).fields:
        accepted = json_kinds(field.type)
        for wrong, json_kind in (
            (None, "null"),
            (True, "bool"),
            (7, "number"),
            ("x" * 100, "text"),
            ([], "list"),
            ({}, "object"),
        ):
            if json_kind not in accepted:
                _, flaws = decoded(kind, {**sample(kind), field.encode_name: wrong})
                assert any(flaw.path[:1] == (field.encode_name,) for flaw in flaws), (
                    field.encode_name,
                    wrong,
                )


def json_kinds(shape: inspect.Type) -> set[str]:
    """The kinds of JSON value that may be right for an option; a text may stand for a size."""
    plain, marks = bare(shape)
    if isinstance(plain, inspect.AnyType):
        return {"null", "bool", "number", "text", "list", "object"}
    if isinstance(plain, inspect.UnionType):
        return set[str]().union(*map(json_kinds, plain.types))
    if isinstance(plain, inspect.LiteralType):
        return {"text"} if isinstance(plain.values[0], str) else {"number", "bool"}
    by_type = {
        inspect.NoneType: {"null"}, inspect.BoolType: {"bool"}, inspect.IntType: {"number"},
        inspect.FloatType: {"number"}, inspect.ListType: {"list"}, inspect.VarTupleType: {"list"},
        inspect.TupleType: {"list"}, inspect.SetType: {"list"}, inspect.FrozenSetType: {"list"},
        inspect.DictType: {"object"}, inspect.StructType: {"object"},
    }  # fmt: skip
    return by_type.get(type(plain), {"text", "number"}) | ({"text"} if marks else set())


@every(TYPES)
def test_check_says_what_is_wrong_by_line_and_raises_nothing(kind: Any) -> None:
    part = part_of(kind)
    names = [option.name for option in options(kind.config_type)]
    for wrong in WRONG:
        values = [{**sample(kind), name: wrong} for name in names] + [dict.fromkeys(names, wrong)]
        entries = {f"n{index}": {**value, "type": kind.name} for index, value in enumerate(values)}
        try:
            flow = from_value({"flowbus": 1, "name": "x", "nodes": {}, "wires": [], part: entries})
        except UnicodeEncodeError:  # no file can hold a lone surrogate
            continue
        for problem in check(flow, REGISTRY, environ={}).problems:
            assert_readable(problem.message)
            assert problem.line >= 1
            assert problem.column >= 1


@every(NODES)
def test_its_outlets_have_valid_names(kind: NodeType) -> None:
    config, flaws = decoded(kind, sample(kind))
    outlets = kind.outlets(config) if not flaws else kind.fixed_outlets or ()
    assert len(set(outlets)) == len(outlets)
    for outlet in outlets:
        assert NAME.fullmatch(outlet)
        assert outlet not in RESERVED_OUTLETS


@every(NODES)
def test_its_time_to_live_is_none_or_positive(kind: NodeType) -> None:
    assert kind.ttl is None or kind.ttl > 0


@every(CONNECTIONS)
def test_its_link_key_can_be_compared(kind: ConnectionType) -> None:
    config, flaws = decoded(kind, sample(kind))
    if kind.link_key is not None and not flaws:
        assert hash(kind.link_key(config)) == hash(kind.link_key(config))


@every(TYPES)
def test_its_defaults_can_be_shown_as_json(kind: Any) -> None:
    for option in every_option(kind.config_type):
        msgspec.json.encode(option.default)
        assert option.type


def test_the_fault_registry_takes_the_tables_of_all_plugins() -> None:
    faults = REGISTRY.faults()
    for code, fault in faults.items():
        domain, _, name = code.partition(".")
        assert NAME.fullmatch(domain)
        assert name
        assert fault.name
        assert_readable(fault.cause)
        assert_readable(fault.next_step)
