"""A stranger's plugin: installed with pip from its own folder, it is in every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "acme-flow"
version = "1.0"

[project.entry-points.flowbus]
acme = "acme_flow"

[tool.setuptools]
packages = ["acme_flow"]
"""
REGISTER = """\
from flowbus import hookimpl

@hookimpl
def flowbus_register():
    return {"nodes": {"acme-double": "acme_flow.nodes:double", "acme-once": "acme_flow.nodes:once",
                      "acme-broken": "acme_flow.broken:broken"}}
"""
NODES = """\
from flowbus import Config, Message, NodeIO, Rejected, io_node, transform

class Double(Config):
    '''Multiply a number by two.'''

@transform("acme-double")
def double(message: Message, config: Double) -> Message:
    if not isinstance(message.payload, int | float):
        raise Rejected(f"{message.payload!r} is not a number")
    return message.with_payload(message.payload * 2)

class Once(Config):
    '''Send numbers.'''
    numbers: list[float]

@io_node("acme-once")
async def once(config: Once, io: NodeIO) -> None:
    for number in config.numbers:
        await io.send(Message(number))
"""
BROKEN = "import a_library_that_nobody_has\n"
FLOW = {
    "flowbus": 1,
    "nodes": {
        "send": {"type": "acme-once", "numbers": [1, 2.5]},
        "double": {"type": "acme-double"},
        "print": {"type": "debug", "to": "stdout"},
    },
    "wires": [["send", "double"], ["double", "print"]],
}


def test_it_is_found_checked_and_run(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "site"
    (source / "acme_flow").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PYPROJECT)
    for name, text in {"__init__": REGISTER, "nodes": NODES, "broken": BROKEN}.items():
        (source / "acme_flow" / f"{name}.py").write_text(text)
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
    ]
    subprocess.run([*install, str(source)], check=True, timeout=120)

    def flowbus(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flowbus.cli", *arguments],
            env={**os.environ, "PYTHONPATH": str(target)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    listed = flowbus("nodes").stdout
    assert "acme-double" in listed
    assert "Multiply a number by two" in flowbus("nodes", "acme-double").stdout
    assert "acme-once" in flowbus("schema").stdout

    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(FLOW))
    assert flowbus("check", str(flow)).returncode == 0
    ran = flowbus("run", str(flow), "--state-dir", str(tmp_path / "state"))
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[-1] for line in ran.stdout.splitlines()] == ["2.0", "5.0"], ran.stdout

    # What the missing library breaks is one type; its flow says so and how to mend it.
    broken = {**FLOW, "nodes": {"x": {"type": "acme-broken"}}, "wires": []}
    flow.write_text(json.dumps(broken))
    said = flowbus("check", str(flow))
    assert said.returncode == 78
    assert "a_library_that_nobody_has" in said.stderr
    assert "pip install a_library_that_nobody_has" in said.stderr
