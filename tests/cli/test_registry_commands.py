"""``flowbus check``, ``nodes``, ``schema`` and ``codes``: what they say of files and plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowbus import plugins
from flowbus.cli import main

Captured = pytest.CaptureFixture[str]

GOOD = {
    "flowbus": 1,
    "nodes": {"in": {"type": "stage-tick"}, "out": {"type": "stage-gate"}},
    "wires": [["in", "out"]],
}


def write(value: Any, name: str = "a.json") -> str:
    Path(name).write_text(json.dumps(value, indent=1))
    return name


# ---- check


def test_a_good_flow(capsys: Captured) -> None:
    assert main(["check", write(GOOD)]) == 0
    assert capsys.readouterr() == ("a.json: ok: 2 nodes, 0 connections, 1 wire\n", "")


def test_warnings_do_not_fail(capsys: Captured) -> None:
    assert main(["check", write({**GOOD, "wires": []})]) == 0
    shown = capsys.readouterr()
    assert "ok" in shown.out
    assert "a.json:4:3: nodes.in: warning:" in shown.err


def test_every_error_is_a_line_with_its_place(capsys: Captured) -> None:
    nodes = {"in": {"type": "stage-tik"}, "out": {"type": "stage-gate", "fil": "x"}}
    assert main(["check", write({**GOOD, "nodes": nodes, "wires": [["in", "aut"]]})]) == 78
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert shown.out == ""
    assert lines[0].startswith("a.json:")
    assert sum(line.startswith("a.json:") for line in lines) == 3
    assert 'did you mean "stage-tick"' in shown.err
    assert lines[-1] == "3 errors"


@pytest.mark.parametrize("name", ["missing.json", "."])
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_file_that_cannot_be_read(command: str, name: str, capsys: Captured) -> None:
    assert main([command, name]) == 78
    assert capsys.readouterr().err.startswith(f"{name}:1:1: (top level): ")


def test_a_type_that_lacks_a_package_says_what_to_install(capsys: Captured) -> None:
    nodes = {"in": {"type": "stage-missing"}}
    assert main(["check", write({"flowbus": 1, "nodes": nodes})]) == 78
    assert "pip install a_package_that_nobody_has" in capsys.readouterr().err


# ---- nodes


def test_types_are_listed_with_plugin_and_summary(capsys: Captured) -> None:
    assert main(["nodes"]) == 0
    shown = capsys.readouterr().out
    assert "NODE TYPE" in shown
    tick = next(line for line in shown.splitlines() if line.startswith("stage-tick "))
    assert tick.split(maxsplit=2)[1:] == [
        "flowbus-stage",
        "Emit whole numbers, one after the other",
    ]
    assert "stage-line" in shown.partition("CONNECTION TYPE")[2]
    assert "stage-missing of flowbus-stage cannot be used: ModuleNotFoundError" in shown


def test_one_type_is_described_with_its_options(capsys: Captured) -> None:
    assert main(["nodes", "stage-tick"]) == 0
    shown = capsys.readouterr().out
    assert "Outlets: out, error, status" in shown
    assert "  count  a whole number (≥ 0)  default 0     How many; 0: without end." in shown


def test_types_as_json(capsys: Captured) -> None:
    assert main(["nodes", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    gate = next(kind for kind in shown["nodes"] if kind["type"] == "stage-gate")
    assert gate["outlets"] == []
    assert gate["kind"] == "io"
    assert [option["name"] for option in gate["options"]] == ["file", "connection"]
    assert gate["options"][1]["connection"] == "stage-line"
    assert any(failed["name"] == "stage-missing" for failed in shown["failed"])
    assert main(["nodes", "stage-line", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [kind["type"] for kind in shown["connections"]] == ["stage-line"]
    assert shown["connections"][0]["options"][0]["type"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stage-tik", 'did you mean "stage-tick"'),
        ("stage-missing", "pip install a_package_that_nobody_has"),
    ],
)
def test_a_type_that_there_is_not(name: str, said: str, capsys: Captured) -> None:
    assert main(["nodes", name]) == 2
    assert said in capsys.readouterr().err


def test_without_plugins_the_list_says_how_to_get_some(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(plugins, "installed", plugins.Registry)
    assert main(["nodes"]) == 0
    assert "pip install 'flowbus[all]'" in capsys.readouterr().out


# ---- schema


def test_the_schema_has_the_installed_types(capsys: Captured) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "stage-tick" in json.dumps(schema)
    assert schema["$schema"].startswith("https://json-schema.org/")


# ---- codes


def test_all_codes(capsys: Captured) -> None:
    assert main(["codes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CODE", "NAME", "CAUSE"]
    assert any(line.startswith("flowbus.unconfirmed ") for line in lines)
    assert any(line.startswith("stage.0x0745 ") for line in lines)


@pytest.mark.parametrize(
    "word", ["stage.0x0745", "STAGE_GONE", "stage_gone", "line_gone", "1861", "0x745"]
)
def test_a_fault_is_found_by_code_name_alias_and_number(word: str, capsys: Captured) -> None:
    assert main(["codes", word]) == 0
    shown = capsys.readouterr().out
    assert "STAGE_GONE" in shown
    assert "The line is gone." in shown
    assert "next step:  Plug it in." in shown


def test_an_unknown_code_suggests_a_near_one(capsys: Captured) -> None:
    assert main(["codes", "stage.0x0746"]) == 2
    assert 'did you mean "stage.0x0745"' in capsys.readouterr().err


def test_a_broken_fault_table_does_not_hide_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    registry = plugins.Registry()
    registry.add("bad", {"faults": {"bad": [1]}})
    monkeypatch.setattr(plugins, "installed", lambda: registry)
    assert main(["codes", "flowbus.lost"]) == 0
    shown = capsys.readouterr()
    assert "peer lost" in shown.out
    assert "cannot be read" in shown.err
