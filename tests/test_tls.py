"""TLS options, the contexts they describe, and the faults that errors stand for."""

from __future__ import annotations

import errno
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa

from flowbus.config import decode
from flowbus.errors import ConfigError
from flowbus.secrets import Redactor, Secret
from flowbus.tls import TLS, TLSConfigError, tls_error_text, tls_faults
from tests.certificates import (
    CA,
    CLIENT,
    CLIENT_USAGE,
    DAY,
    DER,
    NOW,
    OTHER_CA,
    PEM,
    SERVER,
    TRUSTING,
    Identity,
    code,
    exchange,
    inline,
    shake,
)


async def test_handshake_with_an_authority() -> None:
    ends = await shake(TRUSTING, inline(SERVER))
    assert ends == {"client": "TLSv1.3", "server": "TLSv1.3", "got": b"y"}
    assert (await shake(TRUSTING, inline(SERVER), "192.0.2.1"))["client"] == "TLSv1.3"


async def test_version_and_ciphers_can_be_limited() -> None:
    ends = await shake(TLS(ca=CA.cert().decode(), max_version="1.2"), inline(SERVER))
    assert ends["client"] == "TLSv1.2"
    suites = TLS(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384").client_context().get_ciphers()
    assert [c["name"] for c in suites if c["protocol"] == "TLSv1.2"] == [
        "ECDHE-ECDSA-AES256-GCM-SHA384"
    ]


async def test_server_name_stands_for_the_host() -> None:
    client = TLS(ca=CA.cert().decode(), server_name="plc.test")
    assert (await shake(client, inline(SERVER), "10.0.0.1"))["client"] == "TLSv1.3"


async def test_without_verification_anything_goes() -> None:
    ends = await shake(TLS(verify=False), inline(Identity("x", hosts=["y"])))
    assert ends["client"] == "TLSv1.3"


async def test_mutual_tls() -> None:
    server = inline(SERVER, ca=CA.cert().decode())
    client = inline(CLIENT, ca=CA.cert().decode())
    assert (await shake(client, server))["server"] == "TLSv1.3"


async def test_a_client_certificate_goes_with_the_authorities_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = inline(SERVER, client_ca=CA.cert().decode())
    (tmp_path / "ca.pem").write_bytes(CA.cert())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert (await shake(inline(CLIENT), server))["server"] == "TLSv1.3"
    monkeypatch.delenv("SSL_CERT_FILE")
    assert code((await shake(inline(CLIENT), server))["client"]) == "ws.tls_unknown_ca"


async def test_an_authority_below_the_root_can_be_trusted_by_itself() -> None:
    middle = Identity("middle", CA)
    server = Identity("server", middle, hosts=["plc.test"])
    ends = await shake(TLS(ca=middle.cert().decode()), inline(server))
    assert ends["client"] == "TLSv1.3"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Identity("s", CA, hosts=["plc.test"], end=NOW - DAY / 2), "ws.tls_cert_expired"),
        (
            Identity("s", CA, hosts=["plc.test"], start=NOW + DAY / 2),
            "ws.tls_cert_not_yet_valid",
        ),
        (Identity("s", hosts=["plc.test"]), "ws.tls_self_signed"),
        (Identity("s", OTHER_CA, hosts=["plc.test"]), "ws.tls_unknown_ca"),
        (Identity("s", CA, hosts=["other.test"]), "ws.tls_cn_mismatch"),
        (Identity("s", CA, hosts=["192.0.2.7"]), "ws.tls_cn_mismatch"),
        (Identity("s", CA, hosts=["plc.test"], usage=CLIENT_USAGE), "ws.tls_wrong_usage"),
    ],
)
async def test_a_certificate_that_does_not_verify(server: Identity, expected: str) -> None:
    ends = await shake(TRUSTING, inline(server))
    assert isinstance(ends["client"].__cause__, ssl.SSLCertVerificationError)
    assert code(ends["client"]) == expected
    assert TLS.why(ends["client"]) == tls_error_text(ends["client"]) != ""


async def test_an_address_that_the_certificate_lacks() -> None:
    ends = await shake(TRUSTING, inline(SERVER), "192.0.2.99")
    assert code(ends["client"]) == "ws.tls_cn_mismatch"


async def test_revocation_lists() -> None:
    for encoding in (PEM, DER):
        with tempfile.NamedTemporaryFile() as file:
            file.write(CA.revocations(SERVER).public_bytes(encoding))
            file.flush()
            ends = await shake(TLS(ca=CA.cert().decode(), crl=file.name), inline(SERVER))
            assert code(ends["client"]) == "ws.tls_cert_revoked"
    for revocations, expected in [
        (CA.revocations(), None),
        (OTHER_CA.revocations(), "ws.tls_crl_unavailable"),
        (CA.revocations(end=NOW - DAY), "ws.tls_crl_invalid"),
    ]:
        crl = revocations.public_bytes(PEM).decode()
        ends = await shake(TLS(ca=CA.cert().decode(), crl=crl), inline(SERVER))
        assert ends["client"] == "TLSv1.3" if expected is None else code(ends["client"]) == expected


def test_the_peer_refuses_our_certificate() -> None:
    server = inline(SERVER, ca=CA.cert().decode())
    client_error, server_error = exchange(TRUSTING, server)
    assert code(client_error) == "ws.tls_cert_required"
    assert code(server_error) == "ws.tls_cert_missing"
    stranger = inline(Identity("c", OTHER_CA, hosts=["c"]), ca=CA.cert().decode())
    client_error, server_error = exchange(stranger, server)
    assert code(client_error) == "ws.tls_cert_refused"
    assert code(server_error) == "ws.tls_unknown_ca"


def test_no_version_in_common() -> None:
    newer = TLS(ca=CA.cert().decode(), min_version="1.3")
    client_error, server_error = exchange(newer, inline(SERVER, max_version="1.2"))
    assert code(client_error) == "ws.tls_version_invalid"
    assert code(server_error) == "ws.tls_version_invalid"


def test_no_cipher_suite_in_common() -> None:
    one = TLS(ca=CA.cert().decode(), max_version="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    other = inline(SERVER, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    assert [code(error) for error in exchange(one, other)] == ["ws.tls_handshake_fail"] * 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "ws.tls_not_tls"),
        (b"", "ws.tls_handshake_fail"),
    ],
)
async def test_a_peer_that_does_not_speak_tls(answer: bytes, expected: str) -> None:
    near, far = trio.testing.memory_stream_pair()
    stream = trio.SSLStream(near, TRUSTING.client_context(), server_hostname="plc.test")
    with trio.fail_after(5):
        await far.send_all(answer)
        await far.send_eof()
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.do_handshake()
    assert code(caught.value) == expected


async def test_private_members_that_are_leant_on() -> None:
    """Of trio, for the alert of a failed handshake; of ssl below 3.13, for the chain of a server."""
    near, _ = trio.testing.memory_stream_pair()
    stream = trio.SSLStream(near, TRUSTING.client_context(), server_hostname="plc.test")
    assert isinstance(stream._outgoing, ssl.MemoryBIO)
    bare = TRUSTING.client_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x")
    if sys.version_info < (3, 13):
        assert callable(bare._sslobj.get_unverified_chain)  # type: ignore[attr-defined]
    else:
        assert callable(bare.get_unverified_chain)


def test_what_is_not_about_tls_has_no_fault() -> None:
    assert TLS().fault("ws", OSError(errno.ECONNREFUSED, "refused")) is None
    assert tls_error_text(ValueError("x")) == ""
    group = ExceptionGroup("", [ValueError(), ssl.SSLError(1, "x")])
    assert code(group) == "ws.tls_handshake_fail"


def test_every_fault_has_its_domain_and_a_next_step() -> None:
    faults = tls_faults("mqtt")
    assert TLS.faults("mqtt") == faults
    assert {fault.code.startswith("mqtt.tls_") for fault in faults} == {True}
    assert all(fault.cause.endswith(".") and fault.next_step.endswith(".") for fault in faults)
    assert len({fault.code for fault in faults}) == len(faults)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("Müller's CA\n" + CA.cert().decode(), encoding="latin-1")
    (tmp_path / "ca.der").write_bytes(CA.cert(DER))
    (tmp_path / "cert.pem").write_bytes(CLIENT.cert() + CA.cert())
    (tmp_path / "cert.der").write_bytes(CLIENT.cert(DER))
    (tmp_path / "key.pem").write_bytes(CLIENT.private())
    (tmp_path / "key.der").write_bytes(CLIENT.private(DER))
    (tmp_path / "ec.der").write_bytes(CLIENT.private(DER, traditional=True))
    (tmp_path / "locked.pem").write_bytes(CLIENT.private(password="hunter22"))
    (tmp_path / "locked.der").write_bytes(CLIENT.private(DER, password="hunter22"))
    (tmp_path / "other.pem").write_bytes(SERVER.private())
    (tmp_path / "both.pem").write_bytes(CLIENT.cert() + CLIENT.private())
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "junk.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    (tmp_path / "junk.der").write_bytes(b"\x30\x03abc")
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        {"ca": "ca.pem"},
        {"ca": "ca.der"},
        {"ca": "."},
        {"cert": "cert.pem", "key": "key.pem"},
        {"cert": "cert.der", "key": "key.der"},
        {"cert": "cert.der", "key": "ec.der"},
        {"cert": "cert.pem", "key": "locked.pem", "key_password": "hunter22"},
        {"cert": "cert.pem", "key": "locked.der", "key_password": "hunter22"},
        {"cert": "both.pem"},
    ],
)
def test_files_start_at_the_flow_file(files: Path, options: dict[str, str]) -> None:
    tls, flaws = decode(TLS, options, base_dir=files)
    assert flaws == []
    assert tls is not None
    tls.check_files()
    tls.client_context()


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"ca": "nope"}, "ca_not_found", "tls.ca: cannot read the file"),
        ({"ca": "empty"}, "ca_invalid", "holds no PEM or DER certificate"),
        ({"ca": "key.pem"}, "ca_invalid", "holds no PEM or DER certificate"),
        ({"ca": "junk.pem"}, "ca_invalid", "tls.ca: "),
        ({"ca": "junk.der"}, "ca_invalid", "tls.ca: "),
        ({"cert": "nope", "key": "key.pem"}, "cert_not_found", "tls.cert: cannot read"),
        ({"cert": "junk.pem", "key": "key.pem"}, "cert_invalid", "tls.cert: "),
        ({"cert": "key.pem", "key": "key.pem"}, "cert_invalid", "tls.cert: "),
        ({"cert": "cert.pem", "key": "nope"}, "key_not_found", "tls.key: cannot read"),
        ({"cert": "cert.pem", "key": "cert.pem"}, "key_invalid", "holds no private key"),
        ({"cert": "cert.pem"}, "key_invalid", "holds no private key"),
        ({"cert": "cert.pem", "key": "junk.der"}, "key_invalid", "tls.key: "),
        ({"cert": "cert.pem", "key": "other.pem"}, "key_invalid", "does not belong"),
        ({"cert": "cert.pem", "key": "locked.pem"}, "key_invalid", "give its password"),
        ({"cert": "cert.der", "key": "locked.der"}, "key_invalid", "give its password"),
        (
            {"cert": "cert.pem", "key": "locked.pem", "key_password": "wrong"},
            "key_invalid",
            "tls.key_password: does not open",
        ),
        ({"crl": "nope"}, "crl_not_found", "tls.crl: cannot read"),
        ({"crl": "ca.pem"}, "crl_invalid", "holds no revocation list"),
        ({"crl": "junk.der"}, "crl_invalid", "tls.crl: "),
        ({"ciphers": "NOPE"}, "cipher_invalid", "no cipher suite"),
    ],
)
def test_each_failure_names_its_option(
    files: Path, options: dict[str, str], kind: str, text: str
) -> None:
    tls, _ = decode(TLS, options, base_dir=files)
    assert tls is not None
    with pytest.raises(TLSConfigError) as caught:
        tls.check_files()
    assert isinstance(caught.value, ConfigError)
    assert text in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert code(caught.value) == f"ws.tls_{kind}"


def test_a_server_needs_a_certificate() -> None:
    with pytest.raises(TLSConfigError, match="a server needs a certificate"):
        TLS().server_context()


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["rsa", "ed25519", "ed448"],
)
async def test_kinds_of_keys(key: Any) -> None:
    server = Identity("s", CA, hosts=["plc.test"], key=key)
    assert (await shake(TRUSTING, inline(server)))["client"] == "TLSv1.3"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"key": "k"}, "key: is given without cert"),
        ({"key_password": "p"}, "key_password: is given without cert"),
        ({"min_version": "1.3", "max_version": "1.2"}, "max_version: 1.2 is below"),
        ({"min_version": "1.3", "ciphers": "HIGH"}, "ciphers: TLS 1.3 does not take them"),
        ({"verify": False, "crl": "x"}, "crl: has no use"),
        ({"server_name": ""}, "server_name: must not be empty"),
    ],
)
def test_rules_between_options(options: dict[str, Any], why: str) -> None:
    tls, flaws = decode(TLS, options)
    assert tls is None
    assert why in f"{flaws[0].path[0]}: {flaws[0].text}"


def test_a_key_never_shows() -> None:
    redactor = Redactor()
    key = CLIENT.private().decode()
    raw = {"cert": CLIENT.cert().decode(), "key": key, "key_password": "hunter22"}
    tls, _ = decode(TLS, raw, redactor=redactor)
    assert key.splitlines()[1] not in repr(tls)
    assert "hunter22" not in repr(tls)
    assert "***" in redactor.redact(key.splitlines()[1])
    assert redactor.redact("hunter22") == "***"
    assert TLS(key_password=Secret("x"), cert="c").key_password == Secret("x")


def test_no_key_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inline(CLIENT).client_context()
    with pytest.raises(TLSConfigError):
        TLS(cert=CLIENT.cert().decode(), key=SERVER.private().decode()).client_context()
    assert list(tmp_path.iterdir()) == []
