"""websocket-client and websocket-server with the library ``ws`` of Node.js at the other end."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome, State
from flowbus.report import live
from flowbus.testing import run_flow
from tests.system.peers import free_port
from tests.system.websocket_servers import flow_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowbus-tests" / "ws"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        NODE is None or not (CACHE / "node_modules" / "ws").is_dir(),
        reason="needs Node.js and its package ws: sh tests/install_peers.sh",
    ),
]

# Echoes, and does what some texts ask for; says what it sees on stdout, a line of JSON each.
SERVER = """
const { WebSocketServer } = require('ws');
const say = (event) => console.log(JSON.stringify(event));
const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[1]), perMessageDeflate: { threshold: 100 },
  handleProtocols: (offered) => offered.has('v2') ? 'v2' : false,
  verifyClient: (info, done) => info.req.headers.authorization === 'Bearer no' ? done(false, 403) : done(true),
});
server.on('listening', () => say({ listening: true }));
server.on('connection', (socket, request) => {
  say({ connected: request.url, origin: request.headers.origin, extensions: socket.extensions });
  socket.on('ping', (data) => say({ ping: data.toString() }));
  socket.on('pong', (data) => say({ pong: data.toString() }));
  socket.on('close', (code, reason) => say({ code, reason: reason.toString() }));
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString();
    if (text === 'ping me') socket.ping('hello');
    else if (text === 'close me') socket.close(4001, 'as asked');
    else if (text === 'drop me') socket.terminate();
    else if (text === 'in fragments') {
      for (let n = 0; n < 5; n++) socket.send(String(n), { fin: n === 4, compress: true });
    } else socket.send(data, { binary: isBinary });
  });
});
"""

CLIENT = """
const WebSocket = require('ws');
const say = (event) => console.log(JSON.stringify(event));
const socket = new WebSocket(`ws://127.0.0.1:${process.argv[1]}/live`);
socket.on('open', () => {
  say({ open: true, extensions: socket.extensions });
  socket.send('x'.repeat(100000));
  socket.send(Buffer.alloc(70000, 1));
  for (let n = 0; n < 3; n++) socket.send(`${n} `, { fin: n === 2 });
  socket.ping('are you there');
});
socket.on('pong', (data) => say({ pong: data.toString() }));
socket.on('message', (data, isBinary) => {
  say({ size: data.length, isBinary });
  if (data.toString() === '0 1 2 ') socket.close(3001, 'done');
});
socket.on('close', (code, reason) => say({ code, reason: reason.toString() }));
"""


class Node:
    """A script that runs in Node.js."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._rest = b""

    async def says(self, key: str) -> dict[str, Any]:
        """Return the next thing it says that has ``key``."""
        assert self._process.stdout is not None
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                said: dict[str, Any] = json.loads(line)
                if key in said:
                    return said
                continue
            data = await self._process.stdout.receive_some()
            assert data, "it has ended"
            self._rest += data


@contextlib.asynccontextmanager
async def node(script: str, port: int) -> AsyncIterator[Node]:
    assert NODE is not None
    command = [NODE, "-e", script, str(port)]
    async with trio.open_nursery() as nursery:
        run = functools.partial(
            trio.run_process, command, cwd=CACHE, stdout=subprocess.PIPE, check=False
        )
        process: trio.Process = await nursery.start(run)
        yield Node(process)
        process.kill()


async def test_the_client_and_a_server_of_node() -> None:
    options: dict[str, Any] = {
        "subprotocols": ["v1", "v2"], "require_subprotocol": True, "origin": "http://line3",
        "compression": True, "compress_min": 100,
    }  # fmt: skip
    port = free_port()
    with trio.fail_after(30):
        async with node(SERVER, port) as server:
            await server.says("listening")
            async with run_flow(flow_of(port, path="/line?x=1", **options)) as flow:
                await flow.wait_running("ws")
                seen = await server.says("connected")
                assert (seen["connected"], seen["origin"]) == ("/line?x=1", "http://line3")
                assert "permessage-deflate" in seen["extensions"]
                assert "subprotocol v2" in flow.status("ws").text
                for payload in ("ä" * 50_000, os.urandom(50_000), "", b"", "short", "x" * 900_000):
                    assert (await flow.put("in", Message(payload))).outcome is Outcome.CONFIRMED
                    assert (await flow.get("out")).payload == payload
                flow.put_soon("in", Message("in fragments"))
                assert (await flow.get("out")).payload == "01234"
                flow.put_soon("in", Message("ping me"))
                assert (await server.says("pong"))["pong"] == "hello"
                ping = Message("there?", headers={"command": "ping"})
                assert (await flow.put("in", ping)).outcome is Outcome.CONFIRMED
                assert (await server.says("ping"))["ping"] == "there?"
                flow.put_soon("in", Message("close me"))
                assert "as asked" in (await flow.wait_code("ws", "ws.4001")).text
                await flow.wait_running("ws")
                flow.put_soon("in", Message("drop me"))
                await flow.wait_state("ws", State.WAITING)
                await flow.wait_running("ws")
                refused = Message(None, headers={"command": "connect", "token": "no"})
                end = await flow.put("in", refused)
                assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.access_denied")
                again = Message(None, headers={"command": "connect", "token": None})
                assert (await flow.put("in", again)).outcome is Outcome.CONFIRMED
                await server.says("connected")
                goodbye = Message({"code": 3003, "reason": "bye"}, headers={"command": "close"})
                assert (await flow.put("in", goodbye)).outcome is Outcome.CONFIRMED
                while (said := await server.says("code"))["code"] != 3003:
                    pass
                assert said["reason"] == "bye"
                await flow.stop()


async def test_the_server_and_a_client_of_node() -> None:
    nodes = {"ws": {"type": "websocket-server", "port": 0}, "seen": {"type": "test-sink"}}
    wires = [["ws", "ws"], ["ws.connection", "seen"]]
    with trio.fail_after(30):
        async with run_flow({"nodes": nodes, "wires": wires}) as flow:
            await flow.wait_running("ws")
            port = int(flow.status("ws").text.partition("127.0.0.1:")[2].partition("/")[0])
            async with node(CLIENT, port) as client:
                assert "permessage-deflate" in (await client.says("open"))["extensions"]
                assert (await flow.get("seen")).payload["event"] == "connected"
                sizes = [await client.says("size") for _ in range(2)]
                assert [said["size"] for said in sizes] == [100_000, 70_000]
                assert (await client.says("code"))["code"] == 3001
                gone = (await flow.get("seen")).payload
                assert (gone["event"], gone["code"], gone["reason"]) == (
                    "disconnected",
                    3001,
                    "done",
                )
                assert (
                    live(flow.runtime.parts, flow.report())["nodes"]["ws"]["details"]["connections"]
                    == []
                )
