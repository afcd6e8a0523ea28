"""The command ``openssl`` as a TLS server and as a TLS client, and the other side in trio."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from flowbus import TLS


@asynccontextmanager
async def s_server(folder: Path, *arguments: str) -> AsyncIterator[int]:
    """Run ``openssl s_server``, which sends each line back reversed; yields its port."""
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-rev", *arguments]
    process = await trio.lowlevel.open_process(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        said = b""
        while (found := re.search(rb"ACCEPT 127\.0\.0\.1:(\d+)\n", said)) is None:
            data = await process.stdout.receive_some()
            assert data, f"openssl s_server ended: {said!r}"
            said += data
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_all, process.stdout)  # or it stops when the pipe is full
            yield int(found[1])
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _read_all(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


async def s_client(folder: Path, port: int, *arguments: str) -> str:
    """Run ``openssl s_client``, which sends a line and waits until the server hangs up."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *arguments]
    done = await trio.run_process(
        command, cwd=folder, stdin=b"hello\n", capture_stdout=True, stderr=subprocess.STDOUT,
        check=False,
    )  # fmt: skip
    return bytes(done.stdout).decode("utf-8", "replace")


async def dial(tls: TLS, port: int, host: str = "plc.test") -> tuple[dict[str, Any], bytes]:
    """Connect to ``s_server``; return what the connection is and what comes back for a line."""
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(tcp, tls.client_context(), server_hostname=tls.name_for(host))
    try:
        await tls.shake_hands(stream)
        await stream.send_all(b"hello\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = await stream.receive_some()
            if not data:
                break
            answer += data
        return tls.describe(stream), answer
    finally:
        await trio.aclose_forcefully(stream)


class Listener:
    """A server with TLS options that answers one line in capitals and hangs up."""

    def __init__(self, tls: TLS) -> None:
        self._tls = tls
        self._context = tls.server_context()
        #: What each connection came to: what it is, or the error.
        self.seen: list[dict[str, Any] | Exception] = []
        self.port = 0

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Listen for ever."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, self._context, server_side=True, https_compatible=True)
        try:
            await TLS.shake_hands(stream)
            line = await stream.receive_some(100)
            self.seen.append(self._tls.describe(stream))
            await stream.send_all(bytes(line).upper())
            await stream.aclose()
        except trio.BrokenResourceError as error:
            self.seen.append(error)
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def listening(tls: TLS) -> AsyncIterator[Listener]:
    """Run a :class:`Listener`."""
    listener = Listener(tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(listener.run)
        yield listener
        nursery.cancel_scope.cancel()
