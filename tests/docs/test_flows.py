"""Every flow that a page shows is right, and those of the first five minutes run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import plugins
from flowbus.check import check
from flowbus.flowfile import parse
from flowbus.plan import Checked
from flowbus.testing import run_flow
from tests.docs.pages import ROOT, Block, blocks, every_block
from tests.system.peers import free_port

FLOWS = every_block("json")
EXAMPLES = sorted((ROOT / "flows").glob("*.json"))


def checked(text: str, folder: Path) -> Checked:
    for name in re.findall(r"\$\{file:([^}]+)\}", text):
        (folder / name).write_text("a secret of the test")
    file = str(folder / "flow.json")
    return check(parse(text.encode(), file), plugins.installed(), environ={})


@pytest.mark.parametrize("block", FLOWS, ids=str)
def test_a_flow_in_the_docs_is_right(block: Block, tmp_path: Path) -> None:
    assert checked(block.text, tmp_path).errors == ()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_flow_is_right(path: Path, tmp_path: Path) -> None:
    assert checked(path.read_text(encoding="utf-8"), tmp_path).problems == ()


def test_there_are_flows_to_check() -> None:
    assert len(FLOWS) >= 10
    assert len(EXAMPLES) >= 6


def first_flows() -> list[Any]:
    page = ROOT / "README.md"
    return [json.loads(block.text) for block in blocks(page) if block.language == "json"]


def test_the_first_flow_of_the_readme_prints_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "hello.json"
    file.write_text(json.dumps(first_flows()[0]))
    command = [sys.executable, "-m", "flowbus.cli", "run", str(file), "--state-dir", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[-1] for line in ran.stdout.splitlines()] == ["1", "2", "3"]


async def test_the_second_flow_of_the_readme_writes_to_its_plc() -> None:
    value = first_flows()[1]
    websocket, ads = free_port(), free_port()
    text = json.dumps(value).replace("8765", str(websocket)).replace("48899", str(ads))
    value = json.loads(text)
    value["nodes"]["orders"] |= {"delay": 0.1, "interval": 0.01}
    value["nodes"]["written"] = value["nodes"]["alarm"] = {"type": "test-sink"}
    with trio.fail_after(20):
        async with run_flow(value) as flow:
            written = [(await flow.get("written")).payload for _ in range(2)]
            assert set(written) <= {20.0, 40.0}
            assert (await flow.get("alarm")).headers["fault"]["code"] == "core.not_json"
