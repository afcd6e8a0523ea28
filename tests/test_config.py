"""Decoding options into configs."""

from __future__ import annotations

import datetime
import enum
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from flowbus.config import (
    ByteSize,
    Config,
    FilePath,
    Ref,
    configure,
    connection_refs,
    decode,
    options,
    parse_size,
    refs_in,
    shape_of,
)
from flowbus.problem import path_text
from flowbus.secrets import Redactor, Secret
from flowbus.template import Template


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Inner(Config):
    a: int = 1
    deep: Inner | None = None


class Circle(Config, tag="circle"):
    r: float


class Square(Config, tag="square"):
    a: float


class Shape(Config):
    shape: Circle | Square


class Everything(Config):
    host: Annotated[str, Meta(description="Where it is.", min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 80
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    on: bool = True
    level: Literal["low", "high"] = "low"
    qos: Literal[0, 1, 2] = 0
    mode: Mode = Mode.FAST
    symbols: Annotated[list[str], Meta(max_length=3)] = msgspec.field(default_factory=list)
    limits: tuple[float, float] = (0.0, 1.0)
    labels: dict[str, int] = msgspec.field(default_factory=dict)
    inner: Inner = Inner()
    either: int | str | None = None
    free: Any = None
    connection: Ref["ads"] | None = None
    size: ByteSize = 1024
    password: Secret | None = None
    topic: Template = Template("{topic}")
    file: FilePath = ""
    code: Annotated[str, Meta(pattern="^[A-Z]+$")] = "A"
    tags: set[str] = msgspec.field(default_factory=set)

    def __post_init__(self) -> None:
        if self.level == "high" and not self.on:
            raise ValueError('level: "high" needs on')


def flaws(raw: Any, **more: Any) -> dict[str, str]:
    value, found = decode(Everything, raw, **more)
    assert value is None
    assert found
    return {path_text(flaw.path): flaw.text for flaw in found}


def one(**options: Any) -> Any:
    value, found = decode(Everything, {"host": "h", **options})
    assert found == []
    return value


def test_a_config_is_frozen_and_keyword_only() -> None:
    config = Everything(host="x")
    with pytest.raises(AttributeError):
        config.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Everything("x")  # type: ignore[call-arg]


def test_defaults_and_values() -> None:
    assert one() == Everything(host="h")
    assert one(port=502, ratio=0.25, on=False, qos=2, mode="slow", either="x") == Everything(
        host="h", port=502, ratio=0.25, on=False, qos=2, mode=Mode.SLOW, either="x"
    )
    assert one(limits=[1, 2]).limits == (1.0, 2.0)
    assert one(inner={"a": 2, "deep": {"a": 3}}).inner == Inner(a=2, deep=Inner(a=3))
    assert one(free={"a": [1, None]}).free == {"a": [1, None]}
    assert one(tags=["a", "a"]).tags == {"a"}
    assert one(password="p").password == Secret("p")
    assert one(topic="a/{id}").topic == Template("a/{id}")


def test_a_whole_number_is_a_number_and_may_be_written_as_one() -> None:
    assert type(one(ratio=0.5).ratio) is float
    assert type(one(limits=[1, 2]).limits[0]) is float
    assert one(port=80.0).port == 80


@pytest.mark.parametrize(
    ("options", "path", "text"),
    [
        ({"port": "80a"}, "port", 'expected a whole number, got the text "80a"'),
        ({"port": True}, "port", "expected a whole number, got true"),
        ({"port": 80.5}, "port", "expected a whole number, got the number 80.5"),
        ({"port": None}, "port", "expected a whole number, got null"),
        ({"port": []}, "port", "expected a whole number, got a list"),
        ({"port": {}}, "port", "expected a whole number, got an object"),
        ({"port": 70000}, "port", "must be from 1 to 65535, got the number 70000"),
        ({"labels": {"a": 10**30}}, "labels.a", "does not fit 64 bits"),
        ({"ratio": True}, "ratio", "expected a number, got true"),
        ({"ratio": 0}, "ratio", "must be greater than 0, got the number 0"),
        ({"ratio": 1.5}, "ratio", "must be less than 1, got the number 1.5"),
        ({"ratio": 10**400}, "ratio", "is too large"),
        ({"on": 1}, "on", "expected true or false, got the number 1"),
        (
            {"level": "hig"},
            "level",
            'expected "high" or "low", got the text "hig" (did you mean "high"?)',
        ),
        ({"qos": 3}, "qos", "expected 0, 1 or 2, got the number 3"),
        ({"qos": True}, "qos", "expected 0, 1 or 2, got true"),
        ({"qos": 1.0}, "qos", "expected 0, 1 or 2, got the number 1.0"),
        ({"mode": "quick"}, "mode", 'expected "fast" or "slow", got the text "quick"'),
        ({"symbols": "x"}, "symbols", 'expected a list, got the text "x"'),
        ({"symbols": ["a", 1]}, "symbols[1]", "expected a text, got the number 1"),
        ({"symbols": ["a"] * 4}, "symbols", "takes at most 3 items, has 4"),
        ({"limits": [1]}, "limits", "needs exactly 2 items, has 1"),
        ({"labels": {"a b": "x"}}, 'labels["a b"]', "expected a whole number"),
        ({"inner": {"deep": {"a": "x"}}}, "inner.deep.a", "expected a whole number"),
        ({"inner": {"b": 1}}, "inner.b", 'unknown option "b"; known: a, deep'),
        ({"either": 1.5}, "either", "expected a whole number or a text, got the number 1.5"),
        ({"connection": 5}, "connection", "expected the name of a connection of type ads"),
        ({"connection": ""}, "connection", "expected the name of a connection of type ads"),
        ({"size": "64XB"}, "size", 'expected a size in bytes such as 65536, "64KB" or "1MB"'),
        ({"size": -1}, "size", "must be at least 0"),
        ({"topic": "{nope}"}, "topic", "unknown template gap {nope}"),
        ({"topic": 5}, "topic", "expected a text, got the number 5"),
        ({"code": "a"}, "code", "must match the pattern ^[A-Z]+$"),
        ({"host": ""}, "host", "must not be empty"),
        ({"level": "high", "on": False}, "level", '"high" needs on'),
        ({"prot": 80}, "prot", 'unknown option "prot" (did you mean "port"?); known: host, port'),
    ],
)
def test_what_is_wrong_is_said_in_words(options: dict[str, Any], path: str, text: str) -> None:
    assert text in flaws({"host": "h", **options})[path]


def test_every_wrong_option_is_reported_at_once() -> None:
    found = flaws({"port": "x", "on": 1, "inner": {"a": "x", "b": 1}, "symbols": [1, 2], "nope": 1})
    assert set(found) == {
        "host", "port", "on", "inner.a", "inner.b", "symbols[0]", "symbols[1]", "nope",
    }  # fmt: skip
    assert found["host"] == "missing: a text is needed here"


def test_an_unknown_key_is_reported_at_the_key() -> None:
    _, found = decode(Everything, {"host": "h", "nope": 1})
    assert [flaw.at_key for flaw in found] == [True]


def test_keys_beside_the_options_are_suggested() -> None:
    _, found = decode(Everything, {"host": "h", "disabeld": True}, other_keys=("disabled",))
    assert '(did you mean "disabled"?)' in found[0].text


def test_what_is_no_object() -> None:
    assert flaws([])["(top level)"] == "expected an object, got a list"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("1024", 1024), ("10B", 10), ("64KB", 65536), ("64 KiB", 65536), ("1k", 1024),
        ("1.5MB", 1572864), ("256mb", 1 << 28), ("1GiB", 1 << 30), ("2T", 2 << 40),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert one(size=text).size == size


@pytest.mark.parametrize("text", ["", "KB", "-1KB", "1,5MB", "1e3", "1 K B", "9" * 20, "1KiBi"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


ENV = {"PORT": "1883", "BAD": "topsecret", "LIST": '["a", "b"]', "ON": "false", "BIG": "70000"}


def resolved(**options: Any) -> tuple[Any, dict[str, str]]:
    value, found = configure(Everything, {"host": "h", **options}, Path("/f"), environ=ENV)
    return value, {path_text(flaw.path): flaw.text for flaw in found}


def test_a_lone_reference_fills_an_option_of_any_type() -> None:
    value, found = resolved(
        port="${env:PORT}", on="${env:ON}", symbols="${env:LIST}", host="${env:PORT}",
        either="${env:PORT}", size="${env:PORT}", free="${env:PORT}", inner="${env:NO:-{}}",
    )  # fmt: skip
    assert found == {"inner": found["inner"]}  # a default cannot hold braces
    assert value is None
    value, found = resolved(
        port="${env:PORT}", on="${env:ON}", symbols="${env:LIST}", host="${env:PORT}",
        either="${env:PORT}", size="${env:PORT}", free="${env:PORT}",
    )  # fmt: skip
    assert found == {}
    assert (value.port, value.on, value.symbols, value.host) == (1883, False, ["a", "b"], "1883")
    assert (value.either, value.size, value.free) == ("1883", 1883, "1883")
    assert type(value.host) is str
    assert type(value.free) is str


def test_a_reference_among_other_text_is_a_text() -> None:
    assert resolved(host="tcp://x:${env:PORT}")[0].host == "tcp://x:1883"
    assert "expected a whole number" in resolved(port="1${env:PORT}")[1]["port"]


def test_a_wrong_value_from_a_reference_is_not_shown() -> None:
    _, found = resolved(
        port="${env:BAD}", level="${env:BAD}", ratio="${env:BIG}", qos="x${env:BAD}"
    )
    assert found["port"] == "expected a whole number, got a text from ${env:BAD}"
    assert found["ratio"] == "must be less than 1, got another value from ${env:BIG}"
    assert not any("topsecret" in text for text in found.values())


def test_a_failed_reference_is_reported_once() -> None:
    value, found = resolved(port="${env:NOPE}", on=5)
    assert value is None
    assert set(found) == {"port", "on"}
    assert "NOPE is not set" in found["port"]


def test_a_secret_of_the_wrong_kind_is_not_shown() -> None:
    assert flaws({"host": "h", "password": 12345678})["password"] == (
        "expected a text, got another kind of value"
    )


def test_no_message_shows_a_secret() -> None:
    class Login(Config):
        password: Secret
        url: str

        def __post_init__(self) -> None:
            raise ValueError(f"cannot use {self.password.reveal()} at {self.url}")

    _, found = decode(Login, {"password": "hunter22", "url": "x"})
    assert found[0].text == "cannot use *** at x"


def test_a_check_that_breaks_is_told_and_does_no_more() -> None:
    class Broken(Config):
        def __post_init__(self) -> None:
            raise KeyError("oops")

    _, found = decode(Broken, {})
    assert found[0].text == "Broken cannot check its options: KeyError: 'oops'"


def test_secrets_are_made_known_to_the_redactor() -> None:
    redactor = Redactor()
    decode(Everything, {"host": "h", "password": "hunter22"}, redactor=redactor)
    assert redactor.redact("hunter22") == "***"


def test_files_start_at_the_folder_of_the_flow() -> None:
    value, _ = decode(Everything, {"host": "h", "file": "a/b"}, base_dir=Path("/flows"))
    assert value is not None
    assert value.file == "/flows/a/b"
    value, _ = decode(Everything, {"host": "h", "file": "/a"}, base_dir=Path("/flows"))
    assert value is not None
    assert value.file == "/a"


def test_connections_that_a_config_names() -> None:
    class Many(Config):
        first: Ref["ads"]
        others: list[Ref["mqtt"]] = msgspec.field(default_factory=list)

    assert connection_refs(Many) == {"first": "ads", "others": "mqtt"}
    assert refs_in(Many(first="a", others=["b", "c"])) == [  # type: ignore[arg-type, list-item]
        (("first",), "ads", "a"),
        (("others", 0), "mqtt", "b"),
        (("others", 1), "mqtt", "c"),
    ]
    assert refs_in(Everything(host="x")) == []


def test_options_for_lists_and_documentation() -> None:
    found = {option.name: option for option in options(Everything)}
    assert found["host"].required
    assert found["host"].description == "Where it is."
    assert found["port"].type == "a whole number (≥ 1, ≤ 65535)"
    assert found["port"].default == 80
    assert found["symbols"].type == "a list, each a text"
    assert found["connection"].connection == "ads"
    assert found["topic"].default == "{topic}"
    assert found["mode"].default == "fast"
    assert [option.name for option in found["inner"].options] == ["a", "deep"]
    msgspec.json.encode(options(Everything))


@pytest.mark.parametrize(
    "annotation", [datetime.datetime, bytes, Path, set[datetime.date], dict[str, object | bytes]]
)
def test_a_type_that_a_flow_file_cannot_hold_is_refused(annotation: Any) -> None:
    bad = types.new_class(
        "Bad", (Config,), exec_body=lambda body: body.update(__annotations__={"option": annotation})
    )
    with pytest.raises(TypeError, match="Bad"):
        shape_of(bad)


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    class Lost(Config):
        option: Nowhere  # type: ignore[name-defined]

    with pytest.raises(TypeError, match="Lost: an annotation cannot be used"):
        shape_of(Lost)


def test_tagged_structs_are_told_apart() -> None:
    value, found = decode(Shape, {"shape": {"type": "square", "a": 2}})
    assert (value, found) == (Shape(shape=Square(a=2.0)), [])
    for raw, got in [({"type": "oval"}, 'the text "oval"'), ({}, "nothing")]:
        _, found = decode(Shape, {"shape": raw})
        assert found[0].text == f'expected "circle", "square", got {got}'
    _, found = decode(Shape, {"shape": {"type": "square", "a": "x"}})
    assert [path_text(flaw.path) for flaw in found] == ["shape.a"]
