"""Peers for system tests: processes that none of flowbus's nodes run in, on free loopback ports."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

ECHO_SERVER = """
import asyncio, sys
from websockets.asyncio.server import serve

async def handle(connection):
    async for message in connection:
        await connection.send(message)

async def send_commands(connection):
    number = 0
    while True:
        number += 1
        await connection.send('{"cmd": "speed", "value": %d}' % number)
        await asyncio.sleep(0.02)

async def main():
    handler = send_commands if sys.argv[2] == "commands" else handle
    async with serve(handler, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()

asyncio.run(main())
"""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A peer that can be killed, stopped and started again on the same port."""

    def __init__(self, command: list[str], port: int, host: str = "127.0.0.1") -> None:
        self.command = command
        self.address = (host, port)
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it accepts connections, at most 10 s."""
        self._process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with trio.fail_after(10):
            while True:
                with contextlib.suppress(OSError):
                    stream = await trio.open_tcp_stream(*self.address)
                    await trio.aclose_forcefully(stream)
                    return
                await trio.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._process = None


@contextlib.contextmanager
def ended(*processes: Process) -> Iterator[None]:
    """End these processes in any case."""
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                if process._process is not None:
                    process.signal(signal.SIGCONT)
            process.kill()


def mosquitto(folder: Path) -> Process:
    """Return a mosquitto that listens on a free port and forgets everything at its end."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto mosquitto-clients)")
    port = free_port()
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        "max_queued_messages 0\nmax_inflight_messages 0\n"
    )
    return Process([MOSQUITTO, "-c", str(config)], port)


def websockets_server(kind: str) -> Process:
    """Return a server by the ``websockets`` library: ``echo``, or one that sends ``commands``."""
    port = free_port()
    return Process([sys.executable, "-c", ECHO_SERVER, str(port), kind], port)


def flowbus(flow: Path, folder: Path, port: int, host: str = "127.0.0.1") -> Process:
    """Return a ``flowbus run`` of a flow that listens on ``port``."""
    command = [sys.executable, "-m", "flowbus.cli", "run", str(flow), "--state-dir", str(folder)]
    return Process([*command, "--log-level", "none"], port, host)
