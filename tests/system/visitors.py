"""A server that remembers its clients, and the commands that a flow gives one."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from flowbus import Message


def command(name: str, payload: Any = None, **headers: Any) -> Message:
    return Message(payload, headers={"command": name, **headers})


class Visitors:
    """A server that remembers who came, with which headers, and how each left."""

    def __init__(self) -> None:
        self.headers: list[Any] = []
        self.left: list[tuple[int | None, str | None]] = []
        self.got: list[str | bytes] = []
        self.gone = threading.Event()

    def handle(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        self.headers.append(request.headers)
        try:
            for message in connection:
                self.got.append(message)
                with contextlib.suppress(ConnectionClosed):
                    connection.send(message)
        finally:
            with contextlib.suppress(ConnectionClosed):
                connection.recv()
            self.left.append((connection.close_code, connection.close_reason))
            self.gone.set()
