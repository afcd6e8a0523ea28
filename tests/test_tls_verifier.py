"""Verification beside OpenSSL's, of a client that ignores something else: judged as OpenSSL does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from flowbus import TLS
from tests.certificates import (
    CA,
    EDI_PARTY,
    SERVER,
    SERVER_USAGE,
    Identity,
    inline,
    shake,
)
from tests.defects import (
    AUTHORITIES,
    FAULTS,
    HERE,
    KINDS,
    ignoring,
    openssl,
    outcome,
)


def key_usage(**on: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        (key_usage(digital_signature=True), ""),
        (key_usage(content_commitment=True), FAULTS["wrong_usage"]),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), FAULTS["wrong_usage"]),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING, SERVER_USAGE]), ""),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
            FAULTS["wrong_usage"],
        ),
        (
            x509.UnrecognizedExtension(
                x509.ObjectIdentifier("2.16.840.1.113730.1.1"), b"\x03\x02\x07\x80"
            ),
            FAULTS["wrong_usage"],
        ),
    ],
)
async def test_usage_is_judged_as_openssl_does(extension: Any, expected: str) -> None:
    server = inline(Identity("s", CA, **HERE, extensions=[extension]))
    assert await outcome(TLS(ca=AUTHORITIES), server) == expected
    assert await outcome(ignoring("expired"), server) == expected


def signed_with_sha1(folder: Path) -> TLS:
    """A certificate that cryptography no longer signs."""
    for name, data in {
        "ca.pem": CA.cert(),
        "ca.key": CA.private(),
        "key": SERVER.private(),
    }.items():
        (folder / name).write_bytes(data)
    (folder / "extensions").write_text("subjectAltName=DNS:plc.test\n")
    openssl("req", "-new", "-key", "key", "-subj", "/CN=s", "-out", "csr", folder=folder)
    openssl(
        "x509", "-req", "-sha1", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1",
        "-set_serial", "7", "-extfile", "extensions", "-out", "cert", folder=folder,
    )  # fmt: skip
    return TLS(cert=str(folder / "cert"), key=str(folder / "key"), ciphers="DEFAULT:@SECLEVEL=0")


async def test_weak_keys_and_digests_are_judged_as_openssl_does(tmp_path: Path) -> None:
    weak = Identity("s", CA, **HERE, key=rsa.generate_private_key(65537, 1024))
    for server in (inline(weak, ciphers="DEFAULT:@SECLEVEL=0"), signed_with_sha1(tmp_path)):
        for client in (TLS(ca=AUTHORITIES), ignoring("expired"), ignoring(*KINDS)):
            assert await outcome(client, server) == "ws.tls_verify_fail"
        lax = ignoring("expired", ciphers="DEFAULT:@SECLEVEL=0", max_version="1.2")
        assert (await shake(lax, server))["client"] == "TLSv1.2"


@pytest.mark.parametrize(
    ("hosts", "host", "matches"),
    [
        (["plc.test"], "PLC.test", True),
        (["PLC.TEST"], "plc.test", True),
        (["*.plant.test"], "line.plant.test", True),
        (["*.plant.test"], "a.line.plant.test", False),
        (["*.plant.test"], "plant.test", False),
        (["li*.plant.test"], "line.plant.test", False),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.10", False),
        (["2001:db8::1"], "2001:0db8::1", True),
        (["2001:db8::1"], "2001:db8::2", False),
        (["plc.test", "192.0.2.1"], "plc.test", True),
        (["plc.test.evil"], "plc.test", False),
    ],
)
async def test_names_are_judged_as_openssl_does(
    hosts: Sequence[str], host: str, matches: bool
) -> None:
    server = inline(Identity("s", CA, hosts=hosts))
    expected = "" if matches else FAULTS["hostname_mismatch"]
    assert await outcome(TLS(ca=AUTHORITIES), server, host) in (expected,)
    assert await outcome(ignoring("expired"), server, host) == expected
    assert await outcome(ignoring("hostname_mismatch"), server, host) == ""
    assert await outcome(ignoring("hostname_mismatch", "expired"), server, host) == ""


async def test_the_common_name_counts_where_there_is_no_other() -> None:
    server = inline(Identity("plc.test", CA, ca=False))
    for client in (TLS(ca=AUTHORITIES), ignoring("expired")):
        assert await outcome(client, server) == ""
        assert await outcome(client, server, "other.test") == FAULTS["hostname_mismatch"]
    both = inline(Identity("plc.test", CA, hosts=["other.test"]))
    assert await outcome(ignoring("expired"), both) == FAULTS["hostname_mismatch"]


async def test_a_certificate_that_only_openssl_can_read_is_refused() -> None:
    """Among its names is one of a kind that cryptography does not know: a fault, not a crash."""
    server = inline(Identity("plc.test", CA, ca=False, extensions=[EDI_PARTY]))
    for client in (ignoring("expired"), ignoring("wrong_usage", "crl_unavailable")):
        assert await outcome(client, server) == "ws.tls_verify_fail"
