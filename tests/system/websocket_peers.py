"""Clients of a WebSocket server that none of flowbus's code is in, and a flow to connect them to."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_sync

from flowbus.testing import Flow, run_flow

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any, **options: Any) -> T:
    return await trio.to_thread.run_sync(lambda: function(*args, **options), abandon_on_cancel=True)


class Peer:
    """A client of the websockets library, driven from trio."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def recv(self) -> str | bytes:
        return await in_thread(self.connection.recv, 10)

    async def send(self, message: Any) -> None:
        await in_thread(self.connection.send, message)

    async def closed(self) -> tuple[int, str]:
        """Wait for the end; returns the code and reason received."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.recv()
        return self.connection.close_code or 0, self.connection.close_reason or ""


def flow_of(**options: Any) -> dict[str, Any]:
    return {
        "nodes": {
            "in": {"type": "test-source"},
            "ws": {"type": "websocket-server", "port": 0, **options},
            "out": {"type": "test-sink"},
            "events": {"type": "test-sink"},
        },
        "wires": [["in", "ws"], ["ws", "out"], ["ws.connection", "events"]],
    }


def port_of(flow: Flow) -> int:
    text = flow.status("ws").text
    assert text.startswith("listening on ")
    return int(text.rpartition(":")[2].partition("/")[0])


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Flow, int]]:
    with trio.fail_after(90):
        async with run_flow(flow_of(**options)) as flow:
            await flow.wait_running()
            yield flow, port_of(flow)


@contextlib.asynccontextmanager
async def connected(port: int, path: str = "/", **options: Any) -> AsyncIterator[Peer]:
    options = {"compression": None, "close_timeout": 1, **options}
    scheme = "wss" if "ssl" in options else "ws"
    url = f"{scheme}://127.0.0.1:{port}{path}"
    connection = await in_thread(lambda: connect_sync(url, **options).__enter__())
    try:
        yield Peer(connection)
    finally:
        with trio.CancelScope(shield=True):
            await in_thread(connection.close)


def refused(url: str) -> int:
    """Return the HTTP status with which the server refuses."""
    try:
        with connect_sync(url):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def exchange(port: int, data: bytes) -> bytes:
    """Send garbage and return everything that is answered until the end."""
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.settimeout(10)
        peer.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := peer.recv(4096):
                answer += chunk
        return answer


def details(flow: Flow, node: str = "ws") -> dict[str, Any]:
    """Return what ``flowbus status --json`` shows of a node."""
    shown: dict[str, Any] = flow.runtime.status()["nodes"][node]["details"]
    return shown


async def faults(flow: Flow, count: int, node: str = "ws") -> dict[str, int]:
    """Return the faults of a node once there are so many: a peer may know before they are noted."""
    while sum((noted := flow.report()["nodes"][node]["faults"]).values()) < count:
        await trio.sleep(0.01)
    return dict(noted)


async def raw_client(
    port: int, request: bytes = REQUEST, stream: trio.SocketStream | None = None
) -> trio.SocketStream:
    """Return a socket on which the handshake has been made, and nothing has been read behind it."""
    stream = stream or await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(request)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await stream.receive_some(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return stream


def handshake(port: int, path: str = "/", **options: Any) -> Response:
    """Return the server's answer to the request, whatever it is."""
    headers = options.pop("headers", {})
    try:
        with connect_sync(
            f"ws://127.0.0.1:{port}{path}", additional_headers=headers, **options
        ) as peer:
            assert peer.response is not None
            return peer.response
    except InvalidStatus as error:
        return error.response


async def asked(port: int, path: str = "/", **options: Any) -> Response:
    return await in_thread(handshake, port, path, **options)
