"""The load of the WebSocket benchmark, in a process of its own: sends frames made beforehand.

Usage: python -m benchmarks.websocket_load ROLE SIZE CONNECTIONS PORT. As ``serve`` it listens, says
its port, and sends to each client that connects; as ``dial`` it connects to PORT. What a connection
takes is what it gets, so that many share the load as they read it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flowbus_websocket.protocol.answer import Answering, accept
from flowbus_websocket.protocol.ask import Asking, Opening
from flowbus_websocket.protocol.encoder import FrameEncoder

HOST = "127.0.0.1"
BLOCK = 1 << 18  # bytes of frames made beforehand, sent over and over


@contextmanager
def load(role: str, size: int, connections: int, port: int = 0) -> Iterator[int]:
    """Run the load; as a server it says its port."""
    arguments = [role, str(size), str(connections), str(port)]
    command = [sys.executable, "-m", "benchmarks.websocket_load", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def be_load(role: str, size: int, connections: int, port: int) -> None:
    """Send messages until the peer hangs up."""
    encoder = FrameEncoder(masked=role == "dial")
    count = max(1, BLOCK // size)
    block = memoryview(
        b"".join(
            encoder.message(os.urandom(size // 2).hex().ljust(size, "x")) for _ in range(count)
        )
    )
    open_all = dial_all if role == "dial" else take_all
    with contextlib.suppress(ConnectionError):
        send_all(open_all(connections, port), block)


def send_all(connections: list[socket.socket], block: memoryview) -> None:
    """Send ``block`` to each over and over, as much as it takes at a time."""
    if len(connections) == 1:
        while True:
            connections[0].sendall(block)
    selector = selectors.DefaultSelector()
    places = dict.fromkeys(connections, 0)
    for connection in connections:
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_WRITE)
    while True:
        for key, _ in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            with contextlib.suppress(BlockingIOError):
                place = places[connection]
                places[connection] = (place + connection.send(block[place:])) % len(block)


def dial_all(connections: int, port: int) -> list[socket.socket]:
    print(port, flush=True)
    return [dial(port) for _ in range(connections)]


def dial(port: int) -> socket.socket:
    connection = socket.create_connection((HOST, port))
    key = base64.b64encode(os.urandom(16)).decode()
    asking = Asking(Opening(f"{HOST}:{port}", "/", key))
    connection.sendall(asking.request())
    while asking.receive(connection.recv(4096)) is None:
        pass
    return connection


def take_all(connections: int, port: int) -> list[socket.socket]:
    with socket.create_server((HOST, port), backlog=connections) as server:
        print(server.getsockname()[1], flush=True)
        return [take(server) for _ in range(connections)]


def take(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    answering = Answering()
    while (request := answering.receive(connection.recv(4096))) is None:
        pass
    connection.sendall(accept(request))
    return connection


if __name__ == "__main__":
    be_load(sys.argv[1], *map(int, sys.argv[2:]))
