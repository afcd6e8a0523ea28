"""The flows that the README shows are right."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from flowbus import plugins
from flowbus.check import check
from flowbus.flowfile import from_value

README = Path(__file__).parents[3] / "plugins" / "core-nodes" / "README.md"


def test_the_flows_of_the_readme_are_right() -> None:
    blocks = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        checked = check(from_value(orjson.loads(block)), plugins.installed(), environ={})
        assert checked.errors == ()


def test_the_readme_names_every_node_type() -> None:
    registry, text = plugins.installed(), README.read_text(encoding="utf-8")
    for name in registry.nodes:
        if registry.nodes.plugin_of(name) == "flowbus-core-nodes":
            assert f"| `{name}` |" in text
