"""Starts the child process of the driver ``pyads`` and speaks AMS with it as with a router."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from flowbus import ConfigError, Lost
from flowbus_ads import faults
from flowbus_ads.link import AmsLink, default_net_id, served
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.constants import PORT
from flowbus_ads.wire import Wire

INSTALL: Final = "pip install 'flowbus-ads[pyads]'"


def check_installed() -> None:
    """Raise ConfigError where pyads is not there."""
    if importlib.util.find_spec("pyads") is None:
        text = f"pyads needs the package pyads: {INSTALL}"
        raise ConfigError(text, option="driver")


@asynccontextmanager
async def open_pyads_link(
    host: str, *, timeout: float, source_net_id: str | None = None
) -> AsyncIterator[AmsLink]:
    """Serve a link through AdsLib while the body runs; its process ends with it.

    The process does nothing that has waited for more than ``timeout`` seconds: nobody waits for it.

    Raises Lost when the process or the PLC is lost, ConfigError without pyads.
    """
    check_installed()
    address, local = await _addresses(host)
    own = source_net_id or default_net_id(local)
    ours, theirs = socket.socketpair()
    with theirs:
        command = [
            sys.executable, "-m", "flowbus_ads.driver.child", str(theirs.fileno()), address, own,
            str(timeout),
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = await trio.lowlevel.open_process(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
    try:
        wire = Wire(ours, local=local, peer=address)
        async with served(AmsLink(wire, f"{host} through pyads", parse_net_id(own))) as link:
            yield link
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _addresses(host: str) -> tuple[str, str]:
    """Return the IP address of ``host`` and the own one that leads to it. Raises Lost."""
    try:
        found = await trio.socket.getaddrinfo(host, PORT, socket.AF_INET, socket.SOCK_DGRAM)
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            await probe.connect(found[0][4])  # a datagram socket sends nothing for that
            return str(found[0][4][0]), str(probe.getsockname()[0])
    except socket.gaierror as error:
        raise Lost(faults.HOST_NOT_FOUND, f"{host}: {error.strerror or error}") from error
    except OSError as error:
        raise Lost(faults.HOST_UNREACHABLE, f"{host}: {error.strerror or error}") from error
