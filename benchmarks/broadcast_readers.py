"""The clients of the broadcast benchmark, in a process of their own.

Usage: python -m benchmarks.broadcast_readers CLIENTS MESSAGES SIZE PORT. They connect, and one asks
for a round of so many messages; when each of them has taken all, it asks for the next one.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flowbus_websocket.protocol.encoder import FrameEncoder

from benchmarks.websocket_load import HOST, dial

__all__ = ["HOST", "readers"]


@contextmanager
def readers(clients: int, messages: int, size: int, port: int) -> Iterator[None]:
    """Run the clients."""
    arguments = [str(clients), str(messages), str(size), str(port)]
    command = [sys.executable, "-m", "benchmarks.broadcast_readers", *arguments]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def read_rounds(clients: int, messages: int, size: int, port: int) -> None:
    """Take round after round until the server hangs up."""
    whole = len(FrameEncoder(masked=False).message("x" * size)) * messages
    connections = [dial(port) for _ in range(clients)]
    ask = FrameEncoder(masked=True).message("next")
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection, selectors.EVENT_READ)
    while True:
        connections[0].sendall(ask)
        missing = dict.fromkeys(connections, whole)
        while missing:
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                got = len(connection.recv(1 << 18))
                if not got:
                    return
                missing[connection] -= got
                if not missing[connection]:
                    del missing[connection]


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError):
        read_rounds(*map(int, sys.argv[1:]))
