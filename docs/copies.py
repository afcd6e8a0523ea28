"""The blocks that hand-written pages take from elsewhere, so that they cannot differ from it.

``<!-- copy of FILE -->`` and ``<!-- layers of CONTRACT -->`` come before a code block: a file of this
checkout, a contract of pyproject.toml. ``<!-- figures -->`` comes before a table of what the last
run of the benchmarks measured.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"

_BLOCK = re.compile(
    r"(<!-- (copy|layers) of (.+?) -->\n\n```\w*\n).*?(^```$)", re.DOTALL | re.MULTILINE
)
_FIGURES = re.compile(r"(<!-- figures -->\n).*?(\n<!-- end of figures -->)", re.DOTALL)
#: Whole groups of rows, those included in which flowbus is behind.
_GROUPS = ("chain of", "WebSocket to MQTT QoS 1", "pipeline")


def renewed(path: Path) -> str:
    """Return the text of a page with its blocks as they have to be."""
    text = path.read_text(encoding="utf-8")
    text = _BLOCK.sub(lambda found: found[1] + _source(found[2], found[3]) + found[4], text)
    return _FIGURES.sub(lambda found: found[1] + figures() + found[2], text)


def _source(kind: str, name: str) -> str:
    if kind == "copy":
        return (ROOT / name).read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == name)
    return "\n".join(layers) + "\n"


def figures() -> str:
    """Return the table of what was measured last; empty where nothing was."""
    if not RESULTS.exists():
        return ""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    about = json.loads(RESULTS.with_name("latest-machine.json").read_text(encoding="utf-8"))
    rows = [row for row in rows if row["name"].startswith(_GROUPS)]
    head = ["| measured | unit | flowbus | peer | ratio | peer is |", "|---|---|---|---|---|---|"]
    notes = [f"- {note.splitlines()[0]}" for note in about["notes"]]
    return "\n".join(
        ["", _machine(about["machine"]), "", *notes, "", *head, *map(_row, rows), ""]
    )


def _machine(machine: dict[str, Any]) -> str:
    return (
        f"Measured {machine['date'][:10]}: {machine['cpu']}, {machine['cpu_count']} cores, "
        f"Python {machine['python']}, mosquitto {machine['mosquitto']}, "
        f"Node-RED {machine['node_red']} on Node {machine['node']}. Notes of that run:"
    )


def _row(row: dict[str, Any]) -> str:
    numbers = [row["flowbus"], row["peer"], row["ratio"]]
    cells = [row["name"], row["unit"], *map(_number, numbers), row["peer_name"]]
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"
