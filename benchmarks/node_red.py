"""Node-RED, headless, as the peer: where it is, how it is started, and its flows."""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import BenchError, Process, last_lines

NAME = "Node-RED"

Node = dict[str, Any]

# Loopback, no editor, no admin API, no palette, no telemetry: only what runs a flow.
SETTINGS = """\
module.exports = {
    uiHost: "127.0.0.1", uiPort: %(port)d, flowFile: "flows.json", credentialSecret: false,
    httpAdminRoot: false, httpNodeRoot: "/", disableEditor: true,
    telemetry: {enabled: false, updateNotification: false},
    diagnostics: {enabled: false}, runtimeState: {enabled: false},
    externalModules: {autoInstall: false, palette: {allowInstall: false}, modules: {allowInstall: false}},
    logging: {console: {level: "info", metrics: false, audit: false}},
};
"""

# Source and sink of the chains, as nodes of the cheapest kind that Node-RED has: the source emits
# batches, the sink asks for the next one when it has them all, so that no queue grows. It also is
# the pass-through node that does nothing but pass on.
BENCH_NODES = """\
module.exports = function (RED) {
    const BATCH = 512;  // where it is fastest
    const sources = {};
    RED.nodes.registerType("bench-source", function (config) {
        RED.nodes.createNode(this, config);
        const node = this;
        node.go = function (count) {
            for (let i = 0; i < count; i++) node.send({payload: {value: i}, topic: "bench"});
        };
        sources[config.id] = node;
        setTimeout(() => node.go(BATCH), 300);
    });
    RED.nodes.registerType("bench-sink", function (config) {
        RED.nodes.createNode(this, config);
        const warmup = Number(config.warmup), total = warmup + Number(config.messages);
        let taken = 0, began = 0;
        this.on("input", function (msg, send, done) {
            taken++;
            done();
            if (taken === warmup) began = process.hrtime.bigint();
            if (taken === total) {
                const seconds = Number(process.hrtime.bigint() - began) / 1e9;
                console.log("BENCH " + JSON.stringify({seconds, messages: total - warmup}));
            } else if (taken % BATCH === 0) {
                sources[config.source].go(BATCH);
            }
        });
    });
    RED.nodes.registerType("bench-pass", function (config) {
        RED.nodes.createNode(this, config);
        this.on("input", (msg, send, done) => { send(msg); done(); });
    });
};
"""


@dataclass(frozen=True)
class NodeRed:
    """An installed Node-RED: the Node that runs it, its start script, both versions."""

    node: Path
    script: Path
    version: str
    node_version: str

    def start(self, flow: Sequence[Node], folder: Path, port: int) -> Process:
        """Start it on ``flow`` with ``folder`` as its user directory, listening on ``port``."""
        nodes = folder / "nodes"
        nodes.mkdir(parents=True, exist_ok=True)
        (folder / "settings.js").write_text(SETTINGS % {"port": port}, encoding="utf-8")
        (folder / "flows.json").write_text(json.dumps(list(flow)), encoding="utf-8")
        (nodes / "bench.js").write_text(BENCH_NODES, encoding="utf-8")
        (nodes / "bench.html").write_text("", encoding="utf-8")
        args: list[str | Path] = [
            self.node,
            self.script,
            "--userDir",
            folder,
            "--settings",
            folder / "settings.js",
        ]
        return Process(args, folder / "log", env={"NODE_RED_DISABLE_TELEMETRY": "true"}, cwd=folder)


def is_ready(output: str) -> bool:
    """Tell whether the flows run and the broker is connected."""
    if "\nError:" in output:
        raise BenchError(f"Node-RED refuses its flow: {last_lines(output)}")
    return "Started flows" in output and "Connected to broker" in output


@functools.cache
def find() -> NodeRed | None:
    """Return the Node-RED that install_peers.sh has installed, or None."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    modules = Path(cache) / "flowbus-bench" / "node-red" / "node_modules"
    script = modules / "node-red" / "red.js"
    if platform.system() != "Linux" or not script.exists():
        return None
    bundled = sorted(modules.glob("node-*/bin/node"))
    node = bundled[0] if bundled else Path(shutil.which("node") or "node")
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20)
    except OSError:
        return None
    package = json.loads((script.parent / "package.json").read_text(encoding="utf-8"))
    return NodeRed(node, script, package["version"], said.stdout.strip().lstrip("v"))


def chain(make: Callable[[int], Node], length: int, messages: int, warmup: int) -> list[Node]:
    """Return a flow: source, ``length`` nodes by ``make``, sink."""
    nodes: list[Node] = [{"type": "bench-source"}]
    nodes += [make(index) for index in range(length)]
    nodes.append({"type": "bench-sink", "source": _id(0), "messages": messages, "warmup": warmup})
    return _line(nodes)


def change(index: int) -> Node:
    """Return a change node that sets one property to a constant: the usual cheap node."""
    return {"type": "change", "rules": [_set("topic", f"n{index}", "str")]}


def function(index: int) -> Node:
    """Return a function node that builds a new message."""
    return {
        "type": "function", "outputs": 1, "libs": [], "initialize": "", "finalize": "",
        "func": "return {payload: {value: msg.payload.value + 1}, topic: msg.topic};",
    }  # fmt: skip


def bare(index: int) -> Node:
    """Return a node of our own that passes messages on: the least that Node-RED can do."""
    return {"type": "bench-pass"}


def pipeline(mqtt_port: int, qos: int, topic: str) -> list[Node]:
    """Return the flow WebSocket → json → switch → change → MQTT."""
    nodes: list[Node] = [
        {"type": "websocket in", "server": "listener", "client": ""},
        {"type": "json", "property": "payload", "action": "obj", "pretty": False},
        {
            "type": "switch", "property": "payload.cmd", "propertyType": "msg", "outputs": 1,
            "rules": [{"t": "eq", "v": "speed", "vt": "str"}], "checkall": "true", "repair": False,
        },
        {"type": "change", "rules": [_set("payload", "payload.data", "msg")]},
        {"type": "mqtt out", "topic": topic, "qos": str(qos), "retain": "false", "broker": "broker"},
    ]  # fmt: skip
    listener = {"id": "listener", "type": "websocket-listener", "path": "/in", "wholemsg": "false"}
    broker = {
        "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(mqtt_port),
        "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60",
        "cleansession": True,
    }  # fmt: skip
    return [listener, broker, *_line(nodes)]


def _set(name: str, value: str, kind: str) -> Mapping[str, str]:
    return {"t": "set", "p": name, "pt": "msg", "to": value, "tot": kind}


def _line(nodes: Sequence[Node]) -> list[Node]:
    """Put the nodes on one tab, each wired to the next."""
    flow: list[Node] = [{"id": "tab", "type": "tab", "label": "bench"}]
    for index, node in enumerate(nodes):
        behind = [_id(index + 1)] if index + 1 < len(nodes) else []
        flow.append({"id": _id(index), "z": "tab", "wires": [behind], **node})
    return flow


def _id(index: int) -> str:
    """Return an id that is no value of any property: Node-RED takes such a value for a reference."""
    return f"bench-node-{index}"
