"""TLS options as a client, against ``openssl s_server``."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    pkcs12,
)

from flowbus import TLS
from flowbus.tls import TLSRefusedError
from flowbus.tls.psk import OFFERED
from tests.certificates import (
    CA,
    CLIENT_USAGE,
    DAY,
    DER,
    NOW,
    OTHER_CA,
    PEM,
    Identity,
    code,
)
from tests.system.openssl_peers import dial, s_server

pytestmark = pytest.mark.system

AUTHORITY = CA.cert().decode()
HERE = {"hosts": ["plc.test"]}
REVOKED = Identity("revoked", CA, **HERE)
PASSWORD = "correct horse"
shared_keys = pytest.mark.skipif(not OFFERED, reason="pre-shared keys need Python 3.13")


def knows_x25519() -> bool:
    """Tell whether Python takes this group; that of Debian 12, 3.11.2, does not."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ecdh_curve("X25519")
    except (ValueError, ssl.SSLError):
        return False
    return True


needs_x25519 = pytest.mark.skipif(not knows_x25519(), reason="this Python does not take X25519")


def lay(folder: Path, server: Identity) -> tuple[str, ...]:
    """Put down what the server needs; return its arguments."""
    (folder / "cert.pem").write_bytes(server.cert())
    (folder / "key.pem").write_bytes(server.private())
    (folder / "ca.pem").write_bytes(CA.cert())
    return ("-cert", "cert.pem", "-key", "key.pem")


async def fault_of(tls: TLS, port: int, host: str = "plc.test") -> str:
    """The fault with which dialling fails; empty where it does not."""
    try:
        _, answer = await dial(tls, port, host)
    except trio.BrokenResourceError as error:
        return code(error)
    assert answer == b"olleh\n"
    return ""


async def test_the_connection_is_told(tmp_path: Path) -> None:
    server = Identity("server", CA, **HERE)
    with trio.fail_after(10):
        async with s_server(tmp_path, *lay(tmp_path, server)) as port:
            told, answer = await dial(TLS(ca=AUTHORITY), port)
    assert answer == b"olleh\n"
    assert (told["version"], told["bits"]) == ("TLSv1.3", 256)
    assert told["peer"]["subject"] == "CN=server"
    assert told["peer"]["status"] == "verified"


DEFECTS = {
    "expired": (Identity("s", CA, **HERE, end=NOW - DAY / 2), "ws.tls_cert_expired"),
    "not_yet_valid": (Identity("s", CA, **HERE, start=NOW + DAY / 2), "ws.tls_cert_not_yet_valid"),
    "self_signed": (Identity("s", **HERE), "ws.tls_self_signed"),
    "untrusted": (Identity("s", OTHER_CA, **HERE), "ws.tls_unknown_ca"),
    "hostname_mismatch": (Identity("s", CA, hosts=["x.test"]), "ws.tls_cn_mismatch"),
    "wrong_usage": (Identity("s", CA, **HERE, usage=CLIENT_USAGE), "ws.tls_wrong_usage"),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_defect_is_named_and_can_be_ignored(tmp_path: Path, defect: Any) -> None:
    server, expected = DEFECTS[defect]
    with trio.fail_after(20):
        async with s_server(tmp_path, *lay(tmp_path, server)) as port:
            assert await fault_of(TLS(ca=AUTHORITY), port) == expected
            assert await fault_of(TLS(verify=False), port) == ""
            for kind in DEFECTS:
                client = TLS(ca=AUTHORITY, ignore=(kind,))
                assert await fault_of(client, port) == ("" if kind == defect else expected), kind


async def test_a_plain_socket_is_guarded_as_well(tmp_path: Path) -> None:
    """Who wraps a socket with the context, in a thread of an own, is held to the same."""
    server, _ = DEFECTS["expired"]

    def talk(tls: TLS, port: int) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as tcp,
            tls.client_context().wrap_socket(tcp, server_hostname="plc.test") as secured,
        ):
            secured.sendall(b"hello\n")
            return secured.recv(100)

    with trio.fail_after(20):
        async with s_server(tmp_path, *lay(tmp_path, server)) as port:
            good, bad = (TLS(ca=AUTHORITY, ignore=(kind,)) for kind in ("expired", "wrong_usage"))
            assert await trio.to_thread.run_sync(talk, good, port) == b"olleh\n"
            with pytest.raises(TLSRefusedError, match="certificate has expired"):
                await trio.to_thread.run_sync(talk, bad, port)


async def test_revocation_lists(tmp_path: Path) -> None:
    revoking, silent = CA.revocations(REVOKED), OTHER_CA.revocations()
    (tmp_path / "crl.pem").write_bytes(revoking.public_bytes(PEM))
    (tmp_path / "crl.der").write_bytes(revoking.public_bytes(DER))
    inline = revoking.public_bytes(PEM).decode()
    with trio.fail_after(20):
        async with s_server(tmp_path, *lay(tmp_path, REVOKED)) as port:
            for crl in (str(tmp_path / "crl.pem"), str(tmp_path / "crl.der"), inline):
                assert await fault_of(TLS(ca=AUTHORITY, crl=crl), port) == "ws.tls_cert_revoked"
            elsewhere = TLS(ca=AUTHORITY, crl=silent.public_bytes(PEM).decode())
            assert await fault_of(elsewhere, port) == "ws.tls_crl_unavailable"
            assert await fault_of(TLS(ca=AUTHORITY), port) == ""


# ---- own certificates

KEYS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
DEMANDING = ("-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem")


@pytest.mark.parametrize("kind", KEYS)
async def test_the_server_takes_our_certificate(tmp_path: Path, kind: str) -> None:
    own = Identity("client", CA, hosts=["client.test"], key=KEYS[kind]())
    (tmp_path / "own.der").write_bytes(own.cert(DER))
    (tmp_path / "own.pem").write_bytes(own.cert() + own.private(password=PASSWORD))
    (tmp_path / "own.key").write_bytes(own.private(DER))
    (tmp_path / "own.pfx").write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"own", own.key, own.certificate, [CA.certificate],
            BestAvailableEncryption(PASSWORD.encode()),
        )
    )  # fmt: skip
    forms: list[dict[str, Any]] = [
        {"cert": own.cert().decode(), "key": own.private().decode()},
        {"cert": str(tmp_path / "own.der"), "key": str(tmp_path / "own.key")},
        {"cert": str(tmp_path / "own.pem"), "key_password": PASSWORD},
        {"pkcs12": str(tmp_path / "own.pfx"), "key_password": PASSWORD},
    ]
    server = Identity("server", CA, **HERE)
    with trio.fail_after(20):
        async with s_server(tmp_path, *lay(tmp_path, server), *DEMANDING) as port:
            for form in forms:
                assert await fault_of(made({"ca": AUTHORITY, **form}), port) == "", form.keys()


def made(options: dict[str, Any]) -> TLS:
    from flowbus.config import decode

    tls, flaws = decode(TLS, options)
    assert tls is not None, flaws
    tls.check_files()
    return tls


async def test_a_dsa_certificate_needs_tls_1_2(tmp_path: Path) -> None:
    key = dsa.generate_private_key(2048)
    own = Identity("client", CA, hosts=["client.test"], key=key)
    options = {"ca": AUTHORITY, "cert": own.cert().decode(), "key": own.private().decode()}
    server = Identity("server", CA, **HERE)
    with trio.fail_after(20):
        async with s_server(
            tmp_path,
            *lay(tmp_path, server),
            *DEMANDING,
            "-client_sigalgs",
            "DSA+SHA256:ECDSA+SHA256",
        ) as port:
            tls = made({**options, "max_version": "1.2"})
            told, answer = await dial(tls, port)
            assert (told["version"], answer) == ("TLSv1.2", b"olleh\n")


async def test_the_server_demands_a_certificate(tmp_path: Path) -> None:
    stranger = Identity("client", OTHER_CA, hosts=["client.test"])
    wrong = TLS(ca=AUTHORITY, cert=stranger.cert().decode(), key=stranger.private().decode())
    with trio.fail_after(20):
        async with s_server(
            tmp_path, *lay(tmp_path, Identity("server", CA, **HERE)), *DEMANDING
        ) as port:
            assert await fault_of(TLS(ca=AUTHORITY), port) == "ws.tls_cert_required"
            assert await fault_of(wrong, port) == "ws.tls_cert_refused"


# ---- versions, ciphers, groups


@pytest.mark.parametrize(
    ("options", "arguments", "expected"),
    [
        ({"max_version": "1.2"}, (), "TLSv1.2"),
        ({}, ("-tls1_2",), "TLSv1.2"),
        ({"min_version": "1.3"}, ("-tls1_2",), "ws.tls_version_invalid"),
        ({"max_version": "1.2"}, ("-tls1_3",), "ws.tls_version_invalid"),
        (
            {"max_version": "1.2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
            ("-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            "ws.tls_handshake_fail",
        ),
        ({"groups": ("secp384r1",)}, ("-groups", "P-384"), "TLSv1.3"),
        pytest.param({"groups": ("X25519",)}, ("-groups", "X25519"), "TLSv1.3", marks=needs_x25519),
        ({"groups": ("prime256v1",)}, ("-groups", "P-384"), "ws.tls_handshake_fail"),
    ],
)
async def test_what_both_sides_can_do(
    tmp_path: Path, options: dict[str, Any], arguments: tuple[str, ...], expected: str
) -> None:
    tls = TLS(ca=AUTHORITY, **options)
    server = lay(tmp_path, Identity("server", CA, **HERE))
    with trio.fail_after(10):
        async with s_server(tmp_path, *server, *arguments) as port:
            if expected.startswith("ws."):
                assert await fault_of(tls, port) == expected
            else:
                told, answer = await dial(tls, port)
                assert (told["version"], answer) == (expected, b"olleh\n")


async def test_the_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    tls = TLS(ca=AUTHORITY, keylog_file=str(path))
    with trio.fail_after(10):
        async with s_server(tmp_path, *lay(tmp_path, Identity("server", CA, **HERE))) as port:
            assert await fault_of(tls, port) == ""
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    assert {line[0] for line in lines} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
    assert all(len(bytes.fromhex(line[1])) == 32 for line in lines)


async def test_a_server_that_does_not_speak_tls() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, listeners)
            port = listeners[0].socket.getsockname()[1]
            assert await fault_of(TLS(ca=AUTHORITY), port) == "ws.tls_not_tls"
            nursery.cancel_scope.cancel()


# ---- pre-shared keys

KEY = "00112233445566778899aabbccddeeff"


@shared_keys
@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_pre_shared_key(tmp_path: Path, version: Any) -> None:
    def client(key: str = KEY, identity: str = "line1") -> TLS:
        return made({"psk_identity": identity, "psk_key": key, "max_version": version})

    arguments = ("-nocert", "-psk", KEY, "-psk_identity", "line1", "-no_dhe")
    with trio.fail_after(20):
        async with s_server(tmp_path, *arguments) as port:
            told, answer = await dial(client(), port)
            assert (told["version"], told["peer"], answer) == (f"TLSv{version}", None, b"olleh\n")
            assert await fault_of(client(KEY[::-1]), port) == "ws.tls_psk_invalid"
            if version == "1.3":  # with 1.2 s_server only warns of another identity
                assert await fault_of(client(identity="line2"), port) == "ws.tls_psk_invalid"


@shared_keys
async def test_a_certificate_does_not_stand_for_the_key(tmp_path: Path) -> None:
    """Python has to switch verification off for a key: any certificate would do."""
    client = made({"psk_identity": "line1", "psk_key": KEY})
    server = lay(tmp_path, Identity("server", CA, **HERE))
    with trio.fail_after(10):
        async with s_server(tmp_path, *server) as port:
            assert await fault_of(client, port) == "ws.tls_psk_invalid"
