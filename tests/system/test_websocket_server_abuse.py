"""Clients that mean harm: a websocket-server stays small, serves the others, and says why it closes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.sync.client import connect as connect_sync

from tests.system import peers
from tests.system.test_backpressure import resident
from tests.system.websocket_peers import REQUEST, in_thread

pytestmark = pytest.mark.system

MOST_GROWTH = 16_000  # kB that the server's process may grow by, whatever a client does

MASK = b"\0\0\0\0"  # leaves a payload as it is
PING, CLOSE, TEXT, BINARY, CONTINUATION = 0x89, 0x88, 0x01, 0x02, 0x00
FIN = 0x80


def frame(first: int, payload: bytes = b"") -> bytes:
    """Return a client's frame."""
    size = len(payload)
    if size < 126:
        return bytes([first, 0x80 | size]) + MASK + payload
    if size < 65536:
        return struct.pack("!BBH", first, 0x80 | 126, size) + MASK + payload
    return struct.pack("!BBQ", first, 0x80 | 127, size) + MASK + payload


class Attacker:
    """A socket on which the handshake has been made."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.sendall(REQUEST)
        assert self.socket.recv(4096).startswith(b"HTTP/1.1 101 ")

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def close_code(self) -> int:
        """Read to the end; return the code of the Close frame, 0 without one."""
        received = b""
        try:
            while data := self.socket.recv(65536):
                received += data
        except ConnectionError:
            pass
        at = received.rfind(b"\x88")
        return 0 if at < 0 else int.from_bytes(received[at + 2 : at + 4])


@asynccontextmanager
async def echoing(folder: Path, **options: Any) -> AsyncIterator[tuple[int, Callable[[], int]]]:
    """Run an echo server in a process of its own; yields its port and what it has grown by, in kB."""
    port = peers.free_port()
    value = {
        "flowbus": 1,
        "name": "echo",
        "nodes": {"ws": {"type": "websocket-server", "port": port, **options}},
        "wires": [["ws", "ws"]],
    }
    flow_file = folder / "flow.json"
    flow_file.write_text(json.dumps(value))
    runner = peers.flowbus(flow_file, folder / "state", port)
    with trio.fail_after(60), peers.ended(runner):
        await runner.start()
        await in_thread(echo, port, 200)  # everything is warm before memory is measured
        before = resident(runner.pid)
        yield port, lambda: resident(runner.pid) - before


def echo(port: int, times: int = 3) -> None:
    """Be a client that behaves."""
    with connect_sync(f"ws://127.0.0.1:{port}") as peer:
        for number in range(times):
            peer.send(f"{number}" * 100)
            assert peer.recv(10) == f"{number}" * 100


async def test_a_handshake_that_comes_byte_by_byte_has_an_end(tmp_path: Path) -> None:
    def dribble() -> int:
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.settimeout(0.02)
            for number, byte in enumerate(REQUEST * 100):
                try:
                    sock.sendall(bytes([byte]))
                    if sock.recv(100) == b"":
                        return number
                except TimeoutError:
                    continue
                except ConnectionError:
                    return number
        raise AssertionError("it could go on for ever")

    async with (
        echoing(tmp_path, handshake_timeout=0.5) as (port, _),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(in_thread, echo, port)
        assert await in_thread(dribble) < len(REQUEST)


async def test_a_flood_of_pings_whose_answers_nobody_reads(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (port, growth):
        with Attacker(port) as attacker:
            for _ in range(20):
                await in_thread(attacker.socket.sendall, frame(PING, b"x" * 125) * 2000)
                await in_thread(echo, port)
            assert growth() < MOST_GROWTH


@pytest.mark.parametrize("piece", [b"", b"x", b"x" * 60_000])
async def test_a_message_without_end_is_1009(tmp_path: Path, piece: bytes) -> None:
    def send_for_ever(attacker: Attacker) -> int:
        attacker.socket.sendall(frame(BINARY, piece))
        more = frame(CONTINUATION, piece) * max(1, 60_000 // (len(piece) + 6))
        try:
            for _ in range(1000 if piece else 100):
                attacker.socket.sendall(more)
        except ConnectionError:
            return 1
        return 0

    async with echoing(tmp_path, max_receive_message=100_000, close_timeout=1) as (port, growth):
        with Attacker(port) as attacker:
            ended = await in_thread(send_for_ever, attacker)
            await in_thread(echo, port)
            if piece:  # without a byte in them they are no message that grows
                assert ended or await in_thread(attacker.close_code) in (1009, 0)
            assert growth() < MOST_GROWTH


async def test_the_code_is_1009_for_who_stops_to_read_it(tmp_path: Path) -> None:
    async with echoing(tmp_path, max_receive_message=1000) as (port, _):
        for frames in (
            frame(TEXT, b"x" * 600) + frame(CONTINUATION, b"x" * 600),
            struct.pack("!BBQ", FIN | BINARY, 0xFF, 1 << 62) + MASK,
        ):
            with Attacker(port) as attacker:
                await in_thread(attacker.socket.sendall, frames)
                assert await in_thread(attacker.close_code) == 1009


async def test_10000_tiny_fragments_are_one_message(tmp_path: Path) -> None:
    frames = [frame(TEXT, b"x"), *[frame(CONTINUATION, b"x")] * 9998, frame(FIN, b"x")]

    def exchange(attacker: Attacker) -> bytes:
        attacker.socket.sendall(b"".join(frames))
        received = b""
        while len(received) < 4 + 10_000:
            received += attacker.socket.recv(65536)
        return received

    async with echoing(tmp_path) as (port, growth):
        with Attacker(port) as attacker:
            answer = await in_thread(exchange, attacker)
            assert answer == struct.pack("!BBH", FIN | TEXT, 126, 10_000) + b"x" * 10_000
        assert growth() < MOST_GROWTH


@pytest.mark.parametrize("policy", ["drop", "close"])
async def test_a_client_that_never_reads(tmp_path: Path, policy: str) -> None:
    """It asks for 100 MB and takes none of them."""
    requests = frame(FIN | BINARY, b"x" * 5000) * 1000

    def ask(attacker: Attacker) -> bool:
        try:
            attacker.socket.sendall(requests)
        except ConnectionError:
            return False
        return True

    async with echoing(tmp_path, slow_client=policy, close_timeout=0.5) as (port, growth):
        with Attacker(port) as attacker:
            asked = True
            for _ in range(20):
                asked = asked and await in_thread(ask, attacker)
                await in_thread(echo, port)
                assert growth() < MOST_GROWTH
            while asked and policy == "close":  # what it sends is read until close_timeout is over
                asked = await in_thread(ask, attacker)
            assert growth() < MOST_GROWTH
            assert asked is (policy == "drop")


async def test_a_slow_client_that_reads_at_last_learns_why_it_was_closed(tmp_path: Path) -> None:
    def ask(attacker: Attacker) -> None:
        attacker.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):  # it is not read from any more once it is dismissed
            attacker.socket.sendall(frame(FIN | BINARY, b"x" * 50_000) * 1000)
        attacker.socket.settimeout(20)

    async with echoing(tmp_path, slow_client="close", close_timeout=20) as (port, _):
        with Attacker(port) as attacker:
            await in_thread(ask, attacker)
            await in_thread(echo, port)
            assert await in_thread(attacker.close_code) == 1008
