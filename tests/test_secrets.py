"""Secrets and references."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from flowbus.secrets import UNRESOLVED, Redactor, ReferencedText, Secret, resolve

ENV = {"HOST": "plc", "PORT": "1883", "EMPTY": ""}


def read(value: Any, base_dir: Path = Path("/nowhere"), **more: Any) -> Any:
    found, flaws = resolve(value, base_dir, environ=ENV, **more)
    assert flaws == []
    return found


def flaw(value: Any, base_dir: Path = Path("/nowhere")) -> str:
    found, flaws = resolve(value, base_dir, environ=ENV)
    assert found is UNRESOLVED
    return flaws[0].text


def test_a_secret_never_shows() -> None:
    secret = Secret("hunter22")
    assert secret.reveal() == "hunter22"
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>10}",
        "".join([str(secret)]),
        [secret],
    ):
        assert "hunter" not in str(shown)
    assert secret == Secret("hunter22")
    assert secret != Secret("other")
    assert secret != "hunter22"
    assert len({secret, Secret("hunter22")}) == 1


@pytest.mark.parametrize("encode", [json.dumps, orjson.dumps, msgspec.json.encode])
def test_a_secret_is_not_encoded_by_accident(encode: Any) -> None:
    with pytest.raises(TypeError):
        encode({"password": Secret("hunter22")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $ {x} $x", "plain $ {x} $x"),
        ("${env:HOST}", "plc"),
        ("tcp://${env:HOST}:${env:PORT}/", "tcp://plc:1883/"),
        ("${env:NOPE:-fallback}", "fallback"),
        ("${env:NOPE:-}", ""),
        ("${env:EMPTY:-fallback}", "fallback"),
        ("${env:EMPTY}", ""),
        ("$${env:HOST} $${", "${env:HOST} ${"),
    ],
)
def test_references_in_a_string(text: str, expected: str) -> None:
    assert read(text) == expected


def test_references_inside_objects_and_lists() -> None:
    value = {"a": ["${env:HOST}", 1, None], "b": {"c": "x"}}
    assert read(value) == {"a": ["plc", 1, None], "b": {"c": "x"}}


def test_only_a_lone_reference_is_whole() -> None:
    whole: ReferencedText = read("${env:PORT}")
    assert whole.whole
    assert whole.source == "${env:PORT}"
    assert not read("1${env:PORT}").whole
    assert not read("$${").whole
    assert not isinstance(read("plain"), ReferencedText)


def test_a_file_is_relative_to_the_flow_and_loses_one_line_end(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"hunter22\r\n")
    assert read("x${file:pw}", tmp_path) == "xhunter22"
    assert read(f"${{file:{tmp_path}/pw}}") == "hunter22"
    (tmp_path / "two").write_bytes(b"a\n\n")
    assert read("${file:two}", tmp_path) == "a\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${env:NOPE}", "the environment variable NOPE is not set"),
        ("${env:}", "does not name an environment variable"),
        ("${env:a b}", "does not name an environment variable"),
        ("${file:}", "needs the path of a file"),
        ("${file:a\0b}", "needs the path of a file"),
        ("${file:nope}", "cannot read the file /nowhere/nope: no such file"),
        ("${vault:x}", "unknown reference"),
        ("${x", "no closing brace"),
        ("${env:${env:HOST}}", "no closing brace, or a brace inside"),
    ],
)
def test_a_failed_reference_says_why(text: str, why: str) -> None:
    assert why in flaw(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (1 << 20) + b"x")
    (tmp_path / "latin").write_bytes(b"\xe4")
    os.mkfifo(tmp_path / "pipe")
    assert "larger than" in flaw("${file:big}", tmp_path)
    assert "not UTF-8" in flaw("${file:latin}", tmp_path)
    assert "not a regular file" in flaw("${file:pipe}", tmp_path)
    assert "not a regular file" in flaw("${file:.}", tmp_path)


def test_every_failed_reference_is_reported_at_its_place() -> None:
    _, flaws = resolve({"a": "${env:A}", "b": ["${env:B}", "${env:HOST}"]}, ".", environ=ENV)
    assert [flaw.path for flaw in flaws] == [("a",), ("b", 0)]


def test_what_came_from_a_file_is_redacted_however_it_is_spelled(tmp_path: Path) -> None:
    secret = 'pass"wörd/1'
    (tmp_path / "pw").write_text(secret + "\n")
    (tmp_path / "short").write_text("abcde")
    redactor = Redactor()
    read("user:${file:pw}@${file:short}", tmp_path, redactor=redactor)
    for text in (secret, json.dumps({"p": secret}), repr([secret]), "pass%22w%C3%B6rd%2F1"):
        assert "w" not in redactor.redact(text).replace("***", "")
    assert redactor.redact("abcde") == "abcde"
    assert redactor.redact_tree({"a": [secret, 5], secret: None}) == {"a": ["***", 5], "***": None}


def test_environment_values_are_not_redacted() -> None:
    redactor = Redactor()
    resolve("${env:LONG}", ".", environ={"LONG": "long enough"}, redactor=redactor)
    assert redactor.redact("long enough") == "long enough"


def test_the_lines_of_a_key_are_redacted_one_by_one() -> None:
    redactor = Redactor()
    redactor.add("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END PRIVATE KEY-----")
    shown = redactor.redact("at MIIEvQIBADANBgkqhkiG9w0: -----BEGIN PRIVATE KEY-----")
    assert shown == "at ***: -----BEGIN PRIVATE KEY-----"


def test_the_longest_secret_goes_first() -> None:
    redactor = Redactor()
    redactor.add(Secret("secret"))
    redactor.add(Secret("secret-and-more"))
    assert redactor.redact("secret-and-more, secret") == "***, ***"
