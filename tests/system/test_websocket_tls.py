"""wss:// of the client: every fault of TLS, by a peer or a file that causes it, and what status says.

Peers are servers of the websockets library over Python's ssl; those of OpenSSL's own have a file of
their own.
"""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.sync.server import ServerConnection

from flowbus import Message, State
from flowbus.report import live
from flowbus.testing import run_flow
from tests.certificates import CLIENT_USAGE, DER, NOW, PEM, Identity
from tests.system.provoked import provoked, row_of
from tests.system.websocket_servers import echo, flow_of, listening, serving

pytestmark = pytest.mark.system

DAY = datetime.timedelta(days=1)
HOST = ["127.0.0.1"]

CA = Identity("plant authority")
OTHER = Identity("somebody else")
SERVER = Identity("server", CA, hosts=HOST)
CLIENT = Identity("client", CA, hosts=["line3"])


class Files:
    """The files that the options name; what a test breaks it can put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("ca", CA.cert())
        self.write("cert", CLIENT.cert())
        self.write("key", CLIENT.private(password="right"))
        self.write("crl", CA.revocations().public_bytes(PEM))
        self.write("ciphers", b"ECDHE+AESGCM")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def options(self) -> dict[str, Any]:
        names = ("ca", "cert", "key", "crl")
        reference = f"${{file:{self.path('ciphers')}}}"
        return {name: self.path(name) for name in names} | {
            "key_password": "right", "ciphers": reference,
        }  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def context_of(identity: Identity, *chain: Identity, folder: Path, **more: Any) -> ssl.SSLContext:
    """A server's context, with the means of Python alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = b"".join(link.cert() for link in (identity, *chain)) + identity.private()
    file = folder / f"{id(identity)}.pem"
    file.write_bytes(pem)
    context.load_cert_chain(file)
    for name, value in more.items():
        setattr(context, name, value)
    return context


def trusting(**more: Any) -> dict[str, Any]:
    return {"ca": CA.cert().decode(), **more}


# ---- what the server shows


REFUSED = Identity("refused", CA, hosts=HOST)
LEAF = Identity("no authority", CA, hosts=["x"])
SHOWN: dict[str, tuple[list[Identity], dict[str, Any], str, int | None]] = {
    "cert_expired": ([Identity("old", CA, hosts=HOST, start=NOW - 9 * DAY, end=NOW - DAY)], trusting(), "TLS_CERT_EXPIRED", 40),
    "cert_not_yet_valid": ([Identity("new", CA, hosts=HOST, start=NOW + DAY, end=NOW + 9 * DAY)], trusting(), "", None),
    "cn_mismatch": ([Identity("else", CA, hosts=["10.0.0.1", "localhost"])], trusting(), "TLS_CN_MISMATCH", 41),
    "self_signed": ([Identity("alone", hosts=HOST)], trusting(), "", None),
    "unknown_ca": ([Identity("stranger", OTHER, hosts=HOST)], trusting(), "", None),
    "cert_revoked": (
        [REFUSED], trusting(crl=CA.revocations(REFUSED).public_bytes(PEM).decode()), "", None,
    ),
    "crl_unavailable": (
        [SERVER], trusting(crl=OTHER.revocations().public_bytes(PEM).decode()), "", None,
    ),
    "crl_invalid": (
        [SERVER], trusting(crl=CA.revocations(end=NOW - DAY).public_bytes(PEM).decode()), "TLS_CRL_INVALID", 30,
    ),
    "wrong_usage": ([Identity("client", CA, hosts=HOST, usage=CLIENT_USAGE)], trusting(), "", None),
    "verify_fail": ([Identity("below", LEAF, hosts=HOST), LEAF], trusting(), "TLS_VERIFY_FAIL", 23),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
async def test_a_certificate_that_is_not_accepted(name: str, tmp_path: Path) -> None:
    (identity, *chain), tls, source, number = SHOWN[name]
    context = context_of(identity, *chain, folder=tmp_path)
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
            text = await provoked(flow, f"ws.tls_{name}", source, number)
            assert flow.status("ws").state is State.WAITING
    assert "127.0.0.1" in text


async def test_the_system_does_not_trust_the_authority_of_a_plant(tmp_path: Path) -> None:
    context = context_of(SERVER, folder=tmp_path)
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss")) as flow:
            await provoked(flow, "ws.tls_unknown_ca")


async def test_versions_that_do_not_meet(tmp_path: Path) -> None:
    old = context_of(SERVER, folder=tmp_path, maximum_version=ssl.TLSVersion.TLSv1_2)
    new = context_of(SERVER, folder=tmp_path, minimum_version=ssl.TLSVersion.TLSv1_3)
    for context, limit in ((old, {"min_version": "1.3"}), (new, {"max_version": "1.2"})):
        with trio.fail_after(20), serving(echo, ssl=context) as port:
            async with run_flow(flow_of(port, "wss", tls=trusting(**limit))) as flow:
                await provoked(flow, "ws.tls_version_invalid", "TLS_VERSION_INVALID", 27)


async def test_ciphers_that_do_not_meet(tmp_path: Path) -> None:
    context = context_of(SERVER, folder=tmp_path, maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    tls = trusting(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
            await provoked(flow, "ws.tls_handshake_fail", "TLS_HANDSHAKE_FAIL", 25)


# ---- the own certificate


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", [None, Identity("stranger", OTHER, hosts=["line3"])])
async def test_a_client_certificate_that_is_missing_or_wrong(
    version: ssl.TLSVersion, shown: Identity | None, tmp_path: Path
) -> None:
    context = context_of(
        SERVER, folder=tmp_path, verify_mode=ssl.CERT_REQUIRED, maximum_version=version
    )
    context.load_verify_locations(cadata=CA.cert().decode())
    tls = trusting()
    if shown is not None:
        tls |= {"cert": shown.cert().decode(), "key": shown.private().decode()}
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
            if shown is not None:
                await provoked(flow, "ws.tls_cert_refused")
            elif version is ssl.TLSVersion.TLSv1_3:
                await provoked(flow, "ws.tls_cert_required")
            else:  # TLS 1.2 has no alert of its own for it
                await provoked(flow, "ws.tls_handshake_fail", "TLS_HANDSHAKE_FAIL", 25)


async def test_a_client_certificate_that_is_trusted(files: Files) -> None:
    context = context_of(SERVER, folder=files.folder, verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(cadata=CA.cert().decode())
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=files.options())) as flow:
            await flow.wait_running("ws")
            await flow.put("in", Message("x"))
            assert (await flow.get("out")).payload == "x"


# ---- files that are gone or broken when the client connects again


def gone(name: str) -> Callable[[Files], None]:
    return lambda files: Path(files.path(name)).unlink()


def holds(name: str, data: bytes) -> Callable[[Files], None]:
    return lambda files: files.write(name, data)


BROKEN: list[tuple[Callable[[Files], None], str, str, int]] = [
    (gone("ca"), "ca_not_found", "TLS_CA_NOTFOUND", 17),
    (gone("cert"), "cert_not_found", "TLS_CERT_NOTFOUND", 18),
    (gone("key"), "key_not_found", "TLS_KEY_NOTFOUND", 19),
    (gone("crl"), "crl_not_found", "TLS_CRL_NOTFOUND", 29),
    (holds("ca", b"no certificate"), "ca_invalid", "TLS_CA_INVALID", 20),
    (holds("ca", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "ca_invalid", "TLS_CA_INVALID", 20),
    (holds("cert", b"no certificate"), "cert_invalid", "TLS_CERT_INVALID", 21),
    (holds("cert", CLIENT.cert(DER)[:-50]), "cert_invalid", "TLS_CERT_INVALID", 21),
    (holds("key", b"no key"), "key_invalid", "TLS_KEY_INVALID", 22),
    (holds("key", CLIENT.private(password="another")), "key_invalid", "TLS_KEY_INVALID", 22),
    (holds("key", OTHER.private(password="right")), "key_invalid", "TLS_KEY_INVALID", 22),
    (holds("crl", b"no list"), "crl_invalid", "TLS_CRL_INVALID", 30),
    (holds("crl", CA.cert()), "crl_invalid", "TLS_CRL_INVALID", 30),
    (holds("ciphers", b"ROT13"), "cipher_invalid", "TLS_CIPHER_INVALID", 26),
]  # fmt: skip


@pytest.mark.parametrize(("breaks", "name", "source", "number"), BROKEN)
async def test_files_are_read_at_every_attempt(
    breaks: Callable[[Files], None], name: str, source: str, number: int, files: Files
) -> None:
    def until_told(connection: ServerConnection) -> None:
        connection.recv()

    context = context_of(SERVER, folder=files.folder)
    with trio.fail_after(20), serving(until_told, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=files.options())) as flow:
            await flow.wait_running("ws")
            breaks(files)
            flow.put_soon("in", Message("hang up"))
            text = await provoked(flow, f"ws.tls_{name}", source, number)
            assert f"tls.{name.partition('_')[0]}" in text
            Files(files.folder)
            await flow.wait_running("ws")


# ---- peers that are none


def says_http(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def test_a_plain_peer_on_wss() -> None:
    with trio.fail_after(20), listening(says_http) as port:
        async with run_flow(flow_of(port, "wss")) as flow:
            await provoked(flow, "ws.tls_not_tls", "SOCK_ERR_TLS", 8)


async def test_a_websocket_without_tls_on_wss() -> None:
    with trio.fail_after(20), serving(echo) as port:
        async with run_flow(flow_of(port, "wss")) as flow:
            found = await flow.wait_state("ws", State.WAITING)
            assert found.code in ("ws.tls_not_tls", "ws.tls_handshake_fail")


async def test_a_peer_that_hangs_up_during_the_handshake() -> None:
    with trio.fail_after(20), listening(lambda connection: connection.recv(64) and None) as port:
        async with run_flow(flow_of(port, "wss")) as flow:
            await provoked(flow, "ws.tls_handshake_fail", "TLS_HANDSHAKE_FAIL", 25)


# ---- less than secure, and says so


@pytest.mark.parametrize(
    ("tls", "code", "word"),
    [
        ({"verify": False}, "ws.tls_not_verified", "tls.verify"),
        (trusting(ignore=["expired"]), "ws.tls_errors_ignored", "expired"),
        (
            trusting(ignore=["expired"], keylog_file="KEYS"),
            "ws.tls_errors_ignored",
            "tls.keylog_file",
        ),
    ],
)
async def test_a_connection_that_is_less_than_secure_says_so_as_long_as_it_stands(
    tls: dict[str, Any], code: str, word: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    if "keylog_file" in tls:
        tls = {**tls, "keylog_file": str(keys)}
    (identity, *_), *_ = SHOWN["cert_expired"]
    context = context_of(identity, folder=tmp_path)
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
            status = await flow.wait_state("ws", State.DEGRADED)
            assert status.code == code
            assert word in status.text
            await flow.put("in", Message("x"))
            assert (await flow.get("out")).payload == "x"
            assert flow.status("ws") == status
    row_of(code)
    assert keys.exists() is ("keylog_file" in tls)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are of POSIX")
async def test_logged_keys_alone_are_a_warning_too(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    context = context_of(SERVER, folder=tmp_path)
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        tls = trusting(keylog_file=str(keys))
        async with run_flow(flow_of(port, "wss", tls=tls)) as flow:
            status = await flow.wait_code("ws", "ws.tls_keys_logged")
            assert status.state is State.DEGRADED
            assert str(keys) in status.text
    assert "TRAFFIC_SECRET" in keys.read_text()


async def test_wss_with_an_own_authority_works(tmp_path: Path) -> None:
    context = context_of(SERVER, folder=tmp_path)
    with trio.fail_after(20), serving(echo, ssl=context) as port:
        async with run_flow(flow_of(port, "wss", tls=trusting())) as flow:
            await flow.wait_running("ws")
            for payload in ("ä", b"x" * 65_536):
                await flow.put("in", Message(payload))
                assert (await flow.get("out")).payload == payload
            await flow.stop()


async def test_what_status_shows_of_the_connection(tmp_path: Path) -> None:
    context = context_of(SERVER, folder=tmp_path)
    options = {
        "subprotocols": ["a"],
        "headers": {"Authorization": "Bearer secret"},
        "tls": trusting(),
    }
    with trio.fail_after(20), serving(echo, ssl=context, subprotocols=["a"]) as port:
        async with run_flow(flow_of(port, "wss", "/line?key=secret", **options)) as flow:
            await flow.wait_running("ws")
            await flow.put("in", Message("äö"))
            await flow.put("in", Message(b"xyz"))
            await flow.get("out")
            await flow.get("out")
            shown = live(flow.runtime.parts, flow.report())["nodes"]["ws"]["details"]["connection"]
    assert shown["url"] == f"wss://127.0.0.1:{port}/line"
    assert shown["subprotocol"] == "a"
    assert shown["remote"] == f"127.0.0.1:{port}"
    assert shown["local"].startswith("127.0.0.1:")
    assert shown["tls"]["version"] == "TLSv1.3"
    assert shown["tls"]["cipher"].startswith("TLS_")
    assert shown["tls"]["bits"] in (128, 256)
    assert (shown["messages_in"], shown["messages_out"]) == (2, 2)
    assert shown["bytes_in"] == 2 + 4 + 2 + 3
    assert shown["bytes_out"] == 6 + 4 + 6 + 3
    silence = shown["keepalive"].pop("silence")
    assert 0 <= silence < 20
    assert shown["keepalive"] == {"on": True, "interval": 20, "timeout": 10}
    assert abs(shown["since"] - time.time()) < 20
    assert "secret" not in str(shown)
