"""What a connection came to and who is at its other end, as JSON values."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
from typing import Any

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.x509.oid import NameOID

from flowbus import TLS
from tests.certificates import CA, CLIENT, DER, EDI_PARTY, SERVER, TRUSTING, Identity, inline

NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Inc."),
        x509.NameAttribute(NameOID.COMMON_NAME, "line 1"),
    ]
)
MACHINE = Identity("line 1", CA, hosts=["line.test", "192.0.2.7"], subject=NAME)


async def both_sides(client: TLS, server: TLS) -> tuple[dict[str, Any], dict[str, Any]]:
    near, far = trio.testing.memory_stream_pair()
    dial = trio.SSLStream(near, client.client_context(), server_hostname="plc.test")
    listen = trio.SSLStream(far, server.server_context(), server_side=True)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial.do_handshake)
            nursery.start_soon(listen.do_handshake)
    return client.describe(dial), server.describe(listen)


async def test_a_server_sees_the_certificate_of_its_client() -> None:
    client = inline(MACHINE, ca=CA.cert().decode())
    near, far = await both_sides(client, inline(SERVER, client_ca=CA.cert().decode()))
    assert json.loads(json.dumps(far)) == far
    assert {key: far[key] for key in ("version", "bits", "resumed")} == {
        "version": "TLSv1.3", "bits": 256, "resumed": False,
    }  # fmt: skip
    assert far["cipher"] == near["cipher"] == "TLS_AES_256_GCM_SHA384"
    certificate = MACHINE.certificate
    serial = f"{certificate.serial_number:X}"
    assert far["peer"] == {
        "subject": "CN=line 1,O=Acme\\, Inc.,C=DE",
        "issuer": "CN=ca",
        "serial": serial if len(serial) % 2 == 0 else f"0{serial}",
        "names": ["line.test", "192.0.2.7"],
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "status": "verified",
        "sha256": hashlib.sha256(MACHINE.cert(DER)).hexdigest(),
        "pem": MACHINE.cert().decode(),
    }
    assert near["peer"]["sha256"] == hashlib.sha256(SERVER.cert(DER)).hexdigest()


async def test_a_client_without_a_certificate_is_nobody() -> None:
    _, far = await both_sides(TRUSTING, inline(SERVER))
    assert far["peer"] is None
    _, far = await both_sides(
        TRUSTING, inline(SERVER, client_ca=CA.cert().decode(), client_auth="optional")
    )
    assert far["peer"] is None


async def test_what_is_not_verified_is_told_alike_and_marked() -> None:
    server = inline(Identity("line 1", CA, hosts=["plc.test"], subject=NAME))
    sound, _ = await both_sides(TRUSTING, server)
    blind, _ = await both_sides(TLS(verify=False), server)
    lenient, _ = await both_sides(TLS(ca=CA.cert().decode(), ignore=("expired",)), server)
    assert blind["peer"] == {**sound["peer"], "status": "not verified"}
    assert lenient["peer"] == {**sound["peer"], "status": "verified, ignoring expired"}


async def test_without_the_library_what_is_not_verified_is_only_told_by_its_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    near, _ = await both_sides(TLS(verify=False), inline(SERVER))
    assert near["peer"] == {
        "status": "not verified",
        "sha256": hashlib.sha256(SERVER.cert(DER)).hexdigest(),
        "pem": SERVER.cert().decode(),
    }


async def test_a_certificate_that_only_openssl_can_read_is_told_by_its_fingerprint() -> None:
    server = Identity("plc.test", CA, ca=False, extensions=[EDI_PARTY])
    near, _ = await both_sides(TLS(verify=False), inline(server))
    assert near["peer"].keys() == {"status", "sha256", "pem"}
    assert near["peer"]["pem"] == server.cert().decode()


async def test_names_of_every_kind_are_text() -> None:
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("line.test"),
            x509.RFC822Name("line@plant.test"),
            x509.UniformResourceIdentifier("urn:line"),
            x509.DirectoryName(NAME),
        ]
    )
    machine = Identity("line", CA, ca=False, extensions=[names])
    _, far = await both_sides(
        inline(machine, ca=CA.cert().decode()), inline(SERVER, client_ca=CA.cert().decode())
    )
    assert far["peer"]["names"] == [
        "line.test", "line@plant.test", "urn:line", "CN=line 1,O=Acme\\, Inc.,C=DE",
    ]  # fmt: skip


async def test_a_resumed_session_is_told() -> None:
    """Session tickets are on: OpenSSL's own client would resume as well."""
    listening = inline(SERVER).server_context()
    dialling = TRUSTING.client_context()
    session: ssl.SSLSession | None = None
    for resumed in (False, True):
        ways = [ssl.MemoryBIO(), ssl.MemoryBIO()]
        near = dialling.wrap_bio(ways[0], ways[1], server_hostname="plc.test", session=session)
        far = listening.wrap_bio(ways[1], ways[0], server_side=True)
        for _ in range(3):
            for side in (near, far):
                try:
                    side.do_handshake()
                    side.read(1)
                except ssl.SSLWantReadError:
                    pass
        assert TRUSTING.describe(near)["resumed"] is resumed
        assert inline(SERVER).describe(far)["resumed"] is resumed
        session = near.session
        assert session is not None
        assert session.has_ticket


def test_what_to_warn_of() -> None:
    assert TRUSTING.warnings("ws") == []
    assert inline(CLIENT).warnings("ws") == []
    found = TLS(verify=False, keylog_file="/tmp/keys").warnings("ws")
    assert [(fault.code, text) for fault, text in found] == [
        ("ws.tls_not_verified", "the certificate is not checked (tls.verify)"),
        (
            "ws.tls_keys_logged",
            "the keys of all connections are written to /tmp/keys (tls.keylog_file)",
        ),
    ]


class Said:
    """What a node said of itself."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ...]] = []

    def connected(self, text: str = "") -> None:
        self.said.append(("connected", text))

    def degraded(self, fault: Any, text: str) -> None:
        self.said.append(("degraded", fault.code, text))


def test_connected_says_what_is_less_than_secure() -> None:
    io = Said()
    TRUSTING.say_connected(io, "ws", "there")
    TLS(verify=False, keylog_file="/k").say_connected(io, "mqtt", "there")
    assert io.said == [
        ("connected", "there"),
        (
            "degraded",
            "mqtt.tls_not_verified",
            (
                "there; the certificate is not checked (tls.verify); "
                "the keys of all connections are written to /k (tls.keylog_file)"
            ),
        ),
    ]
