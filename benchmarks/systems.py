"""The two systems under test, started on the same flow: WebSocket → json → switch → map → MQTT.

Both are the WebSocket server and a client of the broker; see README.md for why.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks import node_red
from benchmarks.node_red import NodeRed
from benchmarks.process import Process

TOPIC = "bench/out"

# Compiled modules of the measured runs: an environment that forbids to write them, or a first run
# that has to, would show the compiler's time as start-up time.
PYCACHE = Path(tempfile.gettempdir()) / "flowbus-bench-pycache"


class System(Protocol):
    """One system under test."""

    @property
    def name(self) -> str:
        """What the rows call it."""

    def start(self, folder: Path, listen: int, broker: int, qos: int) -> Process:
        """Start it on the pipeline: WebSocket on port ``listen``, path /in; MQTT to ``broker``."""

    def is_ready(self, output: str) -> bool:
        """Tell from what it has written whether every node runs and the broker is connected."""


@dataclass(frozen=True)
class NodeRedSystem:
    """Node-RED on the equivalent flow."""

    peer: NodeRed
    name: str = node_red.NAME

    def start(self, folder: Path, listen: int, broker: int, qos: int) -> Process:
        return self.peer.start(node_red.pipeline(broker, qos, TOPIC), folder, listen)

    def is_ready(self, output: str) -> bool:
        return node_red.is_ready(output)


@dataclass(frozen=True)
class FlowbusSystem:
    """``flowbus run`` of this environment."""

    name: str = "flowbus"

    def start(self, folder: Path, listen: int, broker: int, qos: int) -> Process:
        return start_flowbus(pipeline(listen, broker, qos), folder)

    def is_ready(self, output: str) -> bool:
        return all_running(*pipeline(0, 0, 0)["nodes"], "broker")(output)


def pipeline(listen: int, broker: int, qos: int) -> dict[str, Any]:
    """Return the pipeline as a flow file's value."""
    names = ["in", "json", "switch", "map", "out"]
    return {
        "flowbus": 1,
        "name": "bench",
        "connections": {"broker": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker}"}},
        "nodes": {
            "in": {"type": "websocket-server", "host": "127.0.0.1", "port": listen},
            "json": {"type": "json-decode"},
            "switch": {"type": "switch", "cases": {"speed": "payload.cmd = 'speed'"}},
            "map": {"type": "map", "payload": "payload.data"},
            "out": {"type": "mqtt-out", "connection": "broker", "topic": TOPIC, "qos": qos},
        },
        "wires": [[_outlet(a), b] for a, b in itertools.pairwise(names)],
    }


def _outlet(name: str) -> str:
    return f"{name}.speed" if name == "switch" else name


def start_flowbus(flow: dict[str, Any] | Path, folder: Path) -> Process:
    """Run ``flowbus run`` on a flow's value or file; its state directory lies in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(flow, dict):
        file = folder / "flow.json"
        file.write_text(json.dumps(flow, indent=1), encoding="utf-8")
    else:
        file = flow
    args: list[str | Path] = [
        Path(sys.executable).with_name("flowbus"),
        "run",
        file,
        "--state-dir",
        folder / "state",
    ]
    env = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(PYCACHE)}
    args += ["--log-format", "json"]
    return Process(args, folder / "log", env=env)


def all_running(*names: str) -> Callable[[str], bool]:
    """Return a test of a JSON log that holds once every one of these nodes has been running."""
    wanted = set(names)

    def test(output: str) -> bool:
        running = set()
        for line in output.splitlines():
            if '"running"' in line:
                entry = json.loads(line)
                if entry.get("state") == "running":
                    running.add(entry.get("node"))
        return wanted <= running

    return test
