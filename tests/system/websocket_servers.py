"""Servers for tests of websocket-client: of the websockets library, and bare sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

Handler = Callable[[ServerConnection], None]


@contextlib.contextmanager
def serving(handler: Handler, **options: Any) -> Iterator[int]:
    """Run a server of the websockets library in threads; yields its port."""

    def quietly(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            handler(connection)

    options = {"port": 0, "compression": None, "close_timeout": 1, **options}
    server = serve(quietly, "127.0.0.1", **options)
    thread = threading.Thread(target=server.serve_forever, name="peer")
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join(5)


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run ``talk`` in a thread for each TCP connection; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(5)
                        talk(connection)

        thread = threading.Thread(target=accept, name="peer")
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def flow_of(port: int, scheme: str = "ws", path: str = "/", **options: Any) -> dict[str, Any]:
    url = f"{scheme}://127.0.0.1:{port}{path}"
    return {
        "nodes": {
            "in": {"type": "test-source"},
            "ws": {"type": "websocket-client", "url": url, **options},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "ws"], ["ws", "out"]],
    }


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)
