"""The receiver, a process of its own: a minimal MQTT 3.1.1 subscriber on a plain socket.

It subscribes with QoS 0, so that the hop from broker to receiver costs as little as can be; TCP on
loopback loses nothing there. It takes whole reads, finds the two numbers of each message by a
pattern, and reckons only at the end. When all ``count`` messages have come (and a moment later, for
duplicates), when nothing has come for ``idle`` seconds, or when its stdin is closed, it prints one
JSON line.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from array import array
from typing import Any

from benchmarks.payload import FIRST, PATTERN
from benchmarks.stats import account, percentile

LINGER = 0.3  # s after the last expected message
KEEP = 512  # bytes of the end of a read that may hold the beginning of a message

CONNECT = b"\x10\x17\x00\x04MQTT\x04\x02\x00\x00\x00\x0bbench-count"  # clean session, no keep-alive


def subscribe(port: int, topic: str) -> socket.socket:
    """Connect to the broker on loopback and subscribe (MQTT 3.1.1, sections 3.1 and 3.8)."""
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.sendall(CONNECT)
    _expect(sock, 4, b"\x20\x02\x00\x00")
    name = topic.encode()
    body = b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x00"
    sock.sendall(b"\x82" + bytes([len(body)]) + body)
    _expect(sock, 5, b"\x90\x03\x00\x01\x00")
    return sock


def _expect(sock: socket.socket, size: int, wanted: bytes) -> None:
    got = sock.recv(size, socket.MSG_WAITALL)
    if got != wanted:
        raise ConnectionError(f"the broker answered {got!r} instead of {wanted!r}")


class Counter:
    """Collects the sequence numbers and latencies of what was read."""

    def __init__(self) -> None:
        self.numbers = array("q")
        self.latencies = array("q")  # µs
        self.last = 0  # µs since the epoch
        self._rest = b""

    def take(self, data: bytes) -> int:
        """Take a read and return how many messages it completed."""
        now = time.time_ns() // 1000
        data = self._rest + data
        end = 0
        found = 0
        for match in PATTERN.finditer(data):
            number, due = match.groups()
            self.numbers.append(int(number) - FIRST)
            self.latencies.append(now - int(due))
            end = match.end()
            found += 1
        if found:
            self.last = now
        self._rest = data[max(end, len(data) - KEEP) :]
        return found

    def summary(self, count: int, skip: int) -> dict[str, Any]:
        """Return what became of the messages; the first ``skip`` are left out of the latencies."""
        became = account(self.numbers, count)
        measured = self.latencies[skip:] or self.latencies
        result: dict[str, Any] = {
            "received": became.received,
            "unique": became.unique,
            "duplicate": became.duplicate,
            "lost": became.lost,
            "out_of_order": became.out_of_order,
            "last": self.last,
        }
        if measured:
            result |= {
                "p50": percentile(measured, 50) / 1000,
                "p99": percentile(measured, 99) / 1000,
                "max": max(measured) / 1000,
            }
        return result


def receive(sock: socket.socket, count: int, idle: float) -> Counter:
    """Read until everything is here, nothing comes any more, or stdin is closed."""
    counter = Counter()
    left = count
    quiet_after = idle
    while True:
        ready, _, _ = select.select([sock, sys.stdin], [], [], quiet_after)
        if sock in ready:
            data = sock.recv(1 << 18)
            if not data:
                return counter
            left -= counter.take(data)
            quiet_after = LINGER if left <= 0 else idle
        else:
            return counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--topic", default="bench/out")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--idle", type=float, default=5.0)
    options = parser.parse_args()
    sock = subscribe(options.port, options.topic)
    print("ready", flush=True)
    print(
        json.dumps(receive(sock, options.count, options.idle).summary(options.count, options.skip))
    )


if __name__ == "__main__":
    main()
