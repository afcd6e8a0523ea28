"""A simulated PLC whose symbols are in a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import ConfigError, Message, Outcome
from flowbus.testing import run_flow

HOST = "127.0.0.73"
JSON = """{"types": {"ST": {"members": {"a": "INT"}}}, "symbols": {"MAIN.st": {"type": "ST", "value": {"a": 3}}}}"""
TOML = """
[types.ST.members]
a = "INT"
[symbols."MAIN.st"]
type = "ST"
value = {a = 3}
"""


def plant(file: Path, **options: Any) -> dict[str, Any]:
    return {
        "connections": {"plc": {"type": "ads", "host": HOST}},
        "nodes": {
            "sim": {"type": "ads-simulator", "host": HOST, "symbols_file": str(file), **options},
            "ask": {"type": "test-source"},
            "read": {"type": "ads-read", "connection": "plc", "symbols": ["MAIN.st", "MAIN.n"]},
            "out": {"type": "test-sink"},
        },
        "wires": [["ask", "read"], ["read", "out"]],
    }


@pytest.mark.parametrize(("name", "text"), [("plc.json", JSON), ("plc.toml", TOML)])
async def test_symbols_of_a_file_and_of_the_flow(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with trio.fail_after(20):
        async with run_flow(plant(file, symbols={"MAIN.n": {"type": "INT", "value": 9}})) as flow:
            assert (await flow.put("ask", Message(None))).outcome is Outcome.CONFIRMED
            assert (await flow.get("out")).payload == {"MAIN.st": {"a": 3}, "MAIN.n": 9}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ('{"symbols": {"M.x": {"type": "INT", "colour": 1}}}', "colour"),
        ('{"symbols": {"M.x": {"type": "ST_X"}}}', "symbol M.x: type 'ST_X'"),
        ('{"symbols": {"main.N": {"type": "INT"}}}', "symbol main.n is declared here and in the file"),
    ],
)
async def test_a_file_that_cannot_be_used_is_said_where_it_is_named(
    tmp_path: Path, text: str | None, error: str
) -> None:
    file = tmp_path / "plc.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=f"symbols_file.*{error}"):
        async with run_flow(plant(file, symbols={"MAIN.n": {"type": "INT"}})):
            pass
