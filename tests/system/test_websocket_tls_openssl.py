"""wss:// of the client against OpenSSL's own s_server, which knows no WebSocket."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus.testing import run_flow
from tests.certificates import Identity
from tests.system.peers import free_port
from tests.system.provoked import provoked
from tests.system.test_websocket_tls import CA, SERVER, trusting
from tests.system.websocket_servers import flow_of

pytestmark = pytest.mark.system


@contextlib.contextmanager
def s_server(folder: Path, identity: Identity | None, *options: str) -> Iterator[int]:
    """Run ``openssl s_server``, which takes a connection and says nothing by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    port = free_port()
    command = [openssl, "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *options]
    if identity is not None:
        file = folder / "s_server.pem"
        file.write_bytes(identity.cert() + identity.private())
        command += ["-cert", str(file)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _wait_listening(port)
        yield port
    finally:
        server.kill()
        server.wait(5)


def _wait_listening(port: int) -> None:
    """Return once somebody listens, without a connection that would be counted."""
    end = time.monotonic() + 10
    while f"0100007F:{port:04X} 00000000:0000 0A" not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)


async def test_openssl_refuses_a_version_and_a_cipher(tmp_path: Path) -> None:
    cases: list[tuple[list[str], dict[str, Any], tuple[str, str, int]]] = [
        (["-tls1_2"], {"min_version": "1.3"}, ("version_invalid", "TLS_VERSION_INVALID", 27)),
        (
            ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
            {"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"},
            ("handshake_fail", "TLS_HANDSHAKE_FAIL", 25),
        ),
    ]
    for options, tls, (name, source, number) in cases:
        with trio.fail_after(20), s_server(tmp_path, SERVER, *options) as port:
            async with run_flow(flow_of(port, "wss", tls=trusting(**tls))) as flow:
                await provoked(flow, f"ws.tls_{name}", source, number)


async def test_openssl_wants_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(CA.cert())
    options = ["-Verify", "1", "-verify_return_error", "-CAfile", str(tmp_path / "ca.pem")]
    with trio.fail_after(20), s_server(tmp_path, SERVER, *options) as port:
        async with run_flow(flow_of(port, "wss", tls=trusting())) as flow:
            await provoked(flow, "ws.tls_cert_required")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="pre-shared keys need Python 3.13")
async def test_a_pre_shared_key_that_is_wrong(tmp_path: Path) -> None:
    options = ["-nocert", "-psk", "00112233445566778899aabbccddeeff", "-psk_identity", "line3"]
    tls = {"psk_identity": "line3", "psk_key": "ff" * 16}
    for version in ("1.2", "1.3"):
        limits = {"min_version": version, "max_version": version}
        with trio.fail_after(20), s_server(tmp_path, None, *options) as port:
            async with run_flow(flow_of(port, "wss", tls=tls | limits)) as flow:
                await provoked(flow, "ws.tls_psk_invalid", "TLS_PSK_INVALID", 28)


async def test_a_peer_that_goes_silent_during_the_handshake_or_after_it(tmp_path: Path) -> None:
    with trio.fail_after(20), s_server(tmp_path, SERVER, "-naccept", "1") as port:
        async with run_flow(flow_of(port, "wss", tls=trusting(), response_timeout=0.3)) as flow:
            await provoked(flow, "ws.response_timed_out", "CONNECT_RES_TIMEDOUT", 1010)
    with socket.create_server(("127.0.0.1", 0)) as mute, trio.fail_after(20):
        port = mute.getsockname()[1]
        async with run_flow(flow_of(port, "wss", connect_timeout=0.3)) as flow:
            await provoked(flow, "ws.connect_timed_out", "SOCK_CONN_TIMEDOUT", 38)
