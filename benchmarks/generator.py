"""The load generator, a process of its own: a WebSocket client that sends by the clock.

At a given rate message n is due at start + n / rate and carries that time, whenever it really
leaves: a system that stops reading shows as latency, not as a slower sender. Without a rate it
sends as fast as the system takes. It prints one JSON line: ``first`` and ``last``, the µs since the
epoch of the first and the last write; then it keeps the connection until its stdin is closed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import sys
import threading
import time

from benchmarks.payload import Frames

CHUNK = 64  # messages a write, flat out
LATEST = 16  # messages a write at most, when it is behind its schedule


def connect(port: int, path: str, timeout: float = 10.0) -> socket.socket:
    """Open a WebSocket on loopback, trying again until the server listens."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), 5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError(f"closed during the handshake: {answer!r}")
        answer += data
    if not answer.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"the handshake was refused: {answer[:200]!r}")
    sock.settimeout(None)
    return sock


def answer_pings(sock: socket.socket, lock: threading.Lock) -> None:
    """Answer pings (short, unmasked: they come from a server) until the connection ends."""
    with sock.makefile("rb") as stream:
        while len(head := stream.read(2)) == 2:
            data = stream.read(head[1] & 0x7F)
            if head[0] & 0x0F == 9:
                with lock:  # a zero mask leaves the data as it is
                    sock.sendall(bytes([0x8A, 0x80 | len(data), 0, 0, 0, 0]) + data)


def send_flat_out(sock: socket.socket, lock: threading.Lock, count: int) -> None:
    """Send ``count`` messages as fast as the other side takes them."""
    frames = Frames()
    for first in range(0, count, CHUNK):
        now = time.time_ns() // 1000
        data = frames.chunk(first, [now] * min(CHUNK, count - first))
        with lock:
            sock.sendall(data)


def send_by_the_clock(sock: socket.socket, lock: threading.Lock, count: int, rate: float) -> None:
    """Send ``count`` messages, each when it is due; those that are overdue leave together."""
    frames = Frames()
    start = time.time_ns() // 1000 + 1000
    due = [start + int(number * 1e6 / rate) for number in range(count)]
    sent = 0
    while sent < count:
        now = time.time_ns() // 1000
        if now < due[sent]:
            time.sleep((due[sent] - now) / 1e6)
            continue
        until = sent + 1
        while until < min(count, sent + LATEST) and due[until] <= now:
            until += 1
        data = frames.chunk(sent, due[sent:until])
        with lock:
            sock.sendall(data)
        sent = until


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/in")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: flat out")
    options = parser.parse_args()
    sock = connect(options.port, options.path)
    lock = threading.Lock()
    threading.Thread(target=answer_pings, args=(sock, lock), name="pings", daemon=True).start()
    first = time.time_ns() // 1000
    if options.rate:
        send_by_the_clock(sock, lock, options.count, options.rate)
    else:
        send_flat_out(sock, lock, options.count)
    print(json.dumps({"first": first, "last": time.time_ns() // 1000}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
