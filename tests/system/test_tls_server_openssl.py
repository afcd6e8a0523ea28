"""TLS options as a server, against ``openssl s_client``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from flowbus import TLS
from flowbus.config import decode
from flowbus.tls.psk import OFFERED
from tests.certificates import CA, DAY, NOW, OTHER_CA, PEM, Identity, code
from tests.system.openssl_peers import listening, s_client

pytestmark = pytest.mark.system

AUTHORITY = CA.cert().decode()
SERVER = Identity("server", CA, hosts=["plc.test"])
REVOKED = Identity("revoked", CA, hosts=["client.test"])
PASSWORD = "correct horse"
TRUST = ("-CAfile", "ca.pem", "-verify_return_error", "-verify_hostname", "plc.test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_bytes(CA.cert())
    return tmp_path


def serving(identity: Identity = SERVER, **more: Any) -> TLS:
    return made(cert=identity.cert().decode(), key=identity.private().decode(), **more)


def made(**options: Any) -> TLS:
    tls, flaws = decode(TLS, options)
    assert tls is not None, flaws
    tls.check_as_server()
    tls.check_files()
    return tls


async def test_a_client_verifies_us_and_is_told(folder: Path) -> None:
    with trio.fail_after(10):
        async with listening(serving()) as listener:
            said = await s_client(folder, listener.port, *TRUST)
    assert "Verify return code: 0 (ok)" in said
    assert "HELLO" in said
    (seen,) = listener.seen
    assert isinstance(seen, dict)
    assert seen["cipher"] in said
    assert (seen["version"], seen["bits"], seen["peer"]) == ("TLSv1.3", 256, None)


@pytest.mark.parametrize("key", ["rsa", "ed25519"])
async def test_other_keys_and_a_chain(folder: Path, key: str) -> None:
    middle = Identity("middle", CA)
    private: Any = (
        rsa.generate_private_key(65537, 2048)
        if key == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    server = Identity("server", middle, hosts=["plc.test"], key=private)
    tls = made(cert=(server.cert() + middle.cert()).decode(), key=server.private().decode())
    with trio.fail_after(10):
        async with listening(tls) as listener:
            said = await s_client(folder, listener.port, *TRUST)
    assert "Verify return code: 0 (ok)" in said
    assert "HELLO" in said


async def test_pkcs12(folder: Path) -> None:
    middle = Identity("middle", CA)
    server = Identity("server", middle, hosts=["plc.test"])
    (folder / "server.pfx").write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"server", server.key, server.certificate, [middle.certificate],
            BestAvailableEncryption(PASSWORD.encode()),
        )
    )  # fmt: skip
    tls = made(pkcs12=str(folder / "server.pfx"), key_password=PASSWORD)
    with trio.fail_after(10):
        async with listening(tls) as listener:
            said = await s_client(folder, listener.port, *TRUST)
    assert "Verify return code: 0 (ok)" in said


async def test_rsa_beside_ec(folder: Path) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    other = Identity("with RSA", CA, hosts=["plc.test"], key=rsa_key)
    tls = serving(also=[{"cert": other.cert().decode(), "key": other.private().decode()}])
    with trio.fail_after(20):
        async with listening(tls) as listener:
            for version in ("-tls1_2", "-tls1_3"):
                for wanted, name in {
                    "ECDSA+SHA256": "server",
                    "RSA-PSS+SHA256": "with RSA",
                }.items():
                    said = await s_client(
                        folder, listener.port, *TRUST, version, "-sigalgs", wanted
                    )
                    assert "Verify return code: 0 (ok)" in said, said
                    assert subject_in(said) == name


def subject_in(said: str) -> str:
    found = re.search(r"^subject=CN *= *(.*)$", said, re.MULTILINE)
    assert found is not None, said
    return found[1].strip()


async def test_the_certificate_by_the_name_asked_for(folder: Path) -> None:
    names = {
        "a.test": Identity("a", CA, hosts=["a.test"]),
        "*.plant.test": Identity("any", CA, hosts=["*.plant.test"]),
        "b.plant.test": Identity("b", CA, hosts=["b.plant.test"]),
    }
    sni = {
        name: {"cert": identity.cert().decode(), "key": identity.private().decode()}
        for name, identity in names.items()
    }
    asked = {
        "a.test": "a",
        "A.TEST": "a",
        "x.plant.test": "any",
        "b.plant.test": "b",
        "x.y.plant.test": "server",
        "plant.test": "server",
        "other.test": "server",
    }
    with trio.fail_after(30):
        async with listening(serving(sni=sni)) as listener:
            for name, expected in asked.items():
                said = await s_client(folder, listener.port, "-servername", name)
                assert subject_in(said) == expected, name
            assert subject_in(await s_client(folder, listener.port, "-noservername")) == "server"
        async with listening(made(sni=sni)) as listener:
            assert subject_in(await s_client(folder, listener.port, "-servername", "a.test")) == "a"
            for stranger in (("-servername", "other.test"), ("-noservername",)):
                said = await s_client(folder, listener.port, *stranger)
                assert "unrecognized name" in said
    assert [code(seen) for seen in listener.seen[1:]] == ["ws.tls_name_unknown"] * 2


# ---- the certificates of clients


def lay(folder: Path, client: Identity) -> tuple[str, ...]:
    (folder / "client.pem").write_bytes(client.cert() + client.private())
    return ("-cert", "client.pem")


CLIENTS = {
    "good": (Identity("client", CA, hosts=["client.test"]), ""),
    "stranger": (Identity("client", OTHER_CA, hosts=["client.test"]), "ws.tls_unknown_ca"),
    "self-signed": (Identity("client", hosts=["client.test"]), "ws.tls_self_signed"),
    "expired": (Identity("client", CA, hosts=["c.test"], end=NOW - DAY / 2), "ws.tls_cert_expired"),
    "revoked": (REVOKED, "ws.tls_cert_revoked"),
    "none": (None, "ws.tls_cert_missing"),
}


@pytest.mark.parametrize("demand", ["required", "optional", "none", "ca"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_client_certificates(folder: Path, demand: str, version: str) -> None:
    crl = CA.revocations(REVOKED).public_bytes(PEM).decode()
    options: dict[str, Any] = {"client_ca": AUTHORITY, "crl": crl, "client_auth": demand}
    if demand == "ca":  # what a server reads as client_ca
        options = {"ca": AUTHORITY, "crl": crl}
    elif demand == "none":
        options = {"client_auth": demand}
    with trio.fail_after(30):
        async with listening(serving(**options)) as listener:
            for name, (client, fault) in CLIENTS.items():
                arguments = () if client is None else lay(folder, client)
                said = await s_client(folder, listener.port, version, *arguments)
                expected = (
                    "" if demand == "none" or (demand, client) == ("optional", None) else fault
                )
                seen = listener.seen[-1]
                assert ("HELLO" in said) == (expected == ""), name
                if isinstance(seen, Exception):
                    assert code(seen) == expected, name
                else:
                    peer = seen["peer"]
                    shown = None if peer is None else (peer["subject"], peer["status"])
                    asked = demand != "none" and client is not None
                    assert shown == (("CN=client", "verified") if asked else None), name
    assert len(listener.seen) == len(CLIENTS)


async def test_authorities_of_clients_in_a_folder(folder: Path) -> None:
    store = folder / "store"
    store.mkdir()
    (store / "ca.pem").write_bytes(CA.cert())
    with trio.fail_after(20):
        await trio.run_process(["openssl", "rehash", str(store)])
        for option in ("client_ca", "ca"):
            async with listening(serving(**{option: str(store)})) as listener:
                good = await s_client(
                    folder, listener.port, *lay(folder, Identity("c", CA, hosts=["c"]))
                )
                assert "HELLO" in good
                bad = await s_client(
                    folder, listener.port, *lay(folder, Identity("c", OTHER_CA, hosts=["c"]))
                )
                assert "HELLO" not in bad
            assert code(listener.seen[-1]) == "ws.tls_unknown_ca"


# ---- versions, sessions, keys


@pytest.mark.parametrize(
    ("options", "arguments", "expected"),
    [
        ({}, ("-tls1_2",), "TLSv1.2"),
        ({"max_version": "1.2"}, (), "TLSv1.2"),
        ({"min_version": "1.3"}, ("-tls1_2",), "ws.tls_version_invalid"),
        ({"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "max_version": "1.2"}, (), "TLSv1.2"),
        (
            {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "max_version": "1.2"},
            ("-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            "ws.tls_handshake_fail",
        ),
        ({"groups": ["secp384r1"]}, ("-groups", "P-384"), "TLSv1.3"),
        ({"groups": ["secp384r1"]}, ("-groups", "P-256"), "ws.tls_handshake_fail"),
    ],
)
async def test_what_both_sides_can_do(
    folder: Path, options: dict[str, Any], arguments: tuple[str, ...], expected: str
) -> None:
    with trio.fail_after(10):
        async with listening(serving(**options)) as listener:
            said = await s_client(folder, listener.port, *arguments)
    (seen,) = listener.seen
    if isinstance(seen, dict):
        assert (seen["version"], "HELLO" in said) == (expected, True)
        assert options.get("ciphers", seen["cipher"]) == seen["cipher"]
    else:
        assert code(seen) == expected


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("options", [{}, {"client_ca": AUTHORITY}])
async def test_sessions_are_resumed(folder: Path, version: str, options: dict[str, Any]) -> None:
    own = lay(folder, Identity("client", CA, hosts=["c.test"])) if options else ()
    with trio.fail_after(10):
        async with listening(serving(**options)) as listener:
            await s_client(folder, listener.port, version, *own, "-sess_out", "session")
            said = await s_client(folder, listener.port, version, *own, "-sess_in", "session")
    assert "Reused, TLSv1" in said
    assert [isinstance(seen, dict) and seen["resumed"] for seen in listener.seen] == [False, True]


async def test_the_file_of_keys(folder: Path) -> None:
    path = folder / "keys.log"
    names = {"a.test": {"cert": SERVER.cert().decode(), "key": SERVER.private().decode()}}
    with trio.fail_after(10):
        async with listening(serving(keylog_file=str(path), sni=names)) as listener:
            await s_client(folder, listener.port)
            first = secrets_in(path)
            await s_client(folder, listener.port, "-servername", "a.test")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first) == 1
    assert len(secrets_in(path)) == 2


def secrets_in(path: Path) -> set[str]:
    """The connections whose keys are in the file, by the random value of their client."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[1] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"}


KEY = "00112233445566778899aabbccddeeff"


@pytest.mark.skipif(not OFFERED, reason="pre-shared keys need Python 3.13")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_pre_shared_key(folder: Path, version: str) -> None:
    def client(key: str = KEY, identity: str = "line1") -> tuple[str, ...]:
        return (version, "-psk", key, "-psk_identity", identity)

    with trio.fail_after(20):
        async with listening(made(psk_identity="line1", psk_key=KEY)) as listener:
            assert "HELLO" in await s_client(folder, listener.port, *client())
            for wrong in (client(KEY[::-1]), client(identity="line2"), (version,)):
                assert "HELLO" not in await s_client(folder, listener.port, *wrong)
    good, *bad = listener.seen
    assert isinstance(good, dict)
    assert good["peer"] is None
    assert [code(seen) for seen in bad] == ["ws.tls_psk_invalid"] * 3
