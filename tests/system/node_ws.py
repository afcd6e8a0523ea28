"""Node.js with its WebSocket library ``ws``, driven from trio; see ``javascript/node.js``."""

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

from tests.system.jsvalues import from_js, script, to_js

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowbus-tests" / "ws"
NODE = shutil.which("node")

needs_ws = pytest.mark.skipif(
    NODE is None or not (CACHE / "node_modules" / "ws").is_dir(),
    reason="needs Node.js and its package ws: sh tests/install_peers.sh",
)


class Node:
    """Node.js with the scripts loaded; what a call leaves in ``kept`` is there for the next one."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._rest = b""

    async def __call__(self, code: str, /, **given: Any) -> Any:
        """Run ``code`` as the body of an async function with these variables; return its value."""
        assert self._process.stdin is not None
        request = json.dumps({"code": code})[:-1] + f', "given": {to_js(given)}}}\n'
        await self._process.stdin.send_all(request.encode())
        answer = from_js((await self._line()).decode())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        data = [self._rest]
        while b"\n" not in data[-1]:
            data.append(bytes(await self._process.stdout.receive_some()))
            assert data[-1], "Node.js has ended"
        line, _, self._rest = b"".join(data).partition(b"\n")
        return line

    # ---- the peer that was made last

    async def connect(self, url: str, *protocols: str, **options: Any) -> Any:
        """Open a connection; return the first thing that happens to it."""
        code = "kept.peer = connect(url, protocols, options); return await kept.peer.next()"
        return await self(code, url=url, protocols=protocols, options=options)

    async def serve(self, secure: dict[str, Any] | None = None, **options: Any) -> int:
        """Serve with these options; return the port."""
        code = "kept.server = new Server(options, secure); return await kept.server.listening"
        port: int = await self(code, options=options, secure=secure)
        return port

    async def met(self) -> Any:
        """Return what the server has of its next client: url, headers, chosen subprotocol, extensions."""
        return await self(
            "const [peer, request] = await kept.server.clients.next(); kept.peer = peer;"
            "const { protocol, extensions } = peer.socket;"
            "return { url: request.url, headers: request.headers, protocol, extensions }"
        )

    async def heard(self) -> Any:
        """Return the next thing that happens to the peer."""
        return await self("return await kept.peer.next()")

    async def send(self, payload: str | bytes, **options: Any) -> None:
        await self("await kept.peer.send(payload, options)", payload=payload, options=options)


@contextlib.asynccontextmanager
async def node() -> AsyncIterator[Node]:
    """Run Node.js."""
    assert NODE is not None
    command = [NODE, "-e", script("recorder.js", "node.js")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    async with trio.open_nursery() as nursery:
        run = functools.partial(trio.run_process, command, cwd=CACHE, check=False, **pipes)
        process: trio.Process = await nursery.start(run)
        try:
            yield Node(process)
        finally:
            process.kill()
