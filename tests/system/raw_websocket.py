"""Servers of bare sockets that open a WebSocket, or nearly one, by means of their own."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
from collections.abc import Callable

Talk = Callable[[socket.socket], None]


def asked(connection: socket.socket) -> str:
    """Read a request to its end; return the answer that its key wants."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        assert data
        head += data
    found = re.search(rb"\r\nsec-websocket-key: (\S+)\r\n", head, re.IGNORECASE)
    assert found is not None
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def opens(connection: socket.socket, *more: str, without: str = "") -> None:
    """Answer with 101 and what a WebSocket needs, one line left out, others added."""
    lines = {
        "upgrade": "Upgrade: websocket",
        "connection": "Connection: Upgrade",
        "accept": f"Sec-WebSocket-Accept: {asked(connection)}",
    }
    lines.pop(without, None)
    head = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines.values(), *more, "", ""])
    connection.sendall(head.encode())


def opening(*more: str, without: str = "") -> Talk:
    def talk(connection: socket.socket) -> None:
        opens(connection, *more, without=without)
        connection.recv(4096)

    return talk


def sends(frames: bytes) -> Talk:
    """Open a WebSocket, send these bytes, and read what comes."""

    def talk(connection: socket.socket) -> None:
        opens(connection)
        connection.sendall(frames)
        while connection.recv(4096):
            pass

    return talk


def answers(data: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        asked(connection)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)

    return talk


def status(number: int, reason: str = "x") -> Talk:
    return answers(f"HTTP/1.1 {number} {reason}\r\nContent-Length: 0\r\n\r\n".encode())


def reset(connection: socket.socket) -> None:
    """Let closing break the connection off, instead of ending it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resets(connection: socket.socket) -> None:
    asked(connection)
    reset(connection)


def opens_and_resets(connection: socket.socket) -> None:
    opens(connection)
    connection.recv(1)
    reset(connection)
