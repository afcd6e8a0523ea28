"""The own certificate: PKCS#12, one of several, keys of different kinds."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from flowbus import TLS
from flowbus.config import decode
from flowbus.tls import TLSConfigError
from flowbus.tls.certificate import key_kind
from tests.certificates import CA, DER, OTHER_CA, SERVER, TRUSTING, Identity, code, inline, shake

PASSWORD = "correct horse"


def named(common: str, organization: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


MIDDLE = Identity("middle", CA)
ONE = Identity("", MIDDLE, hosts=["plc.test"], subject=named("line 1", "Acme"))
TWO = Identity("", CA, hosts=["plc.test"], subject=named("line 2", "Acme"))
LOCKED = BestAvailableEncryption(PASSWORD.encode())


def pfx(
    identity: Identity, *chain: Identity, encryption: KeySerializationEncryption = LOCKED
) -> bytes:
    others = [issuer.certificate for issuer in chain]
    return pkcs12.serialize_key_and_certificates(
        b"x", identity.key, identity.certificate, others, encryption
    )


def bundle(*identities: Identity, password: str | None = None) -> str:
    parts = [i.cert() + i.private(password=password) for i in identities]
    return (b"".join(parts) + MIDDLE.cert()).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.pfx").write_bytes(pfx(ONE, MIDDLE))
    (tmp_path / "open.pfx").write_bytes(pfx(ONE, MIDDLE, encryption=NoEncryption()))
    old = (
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .build(PASSWORD.encode())
    )
    (tmp_path / "old.pfx").write_bytes(pfx(ONE, MIDDLE, encryption=old))
    (tmp_path / "keyless.pfx").write_bytes(
        pkcs12.serialize_key_and_certificates(b"x", None, ONE.certificate, None, LOCKED)
    )
    (tmp_path / "broken.pfx").write_bytes(b"\x30\x05abcde")
    (tmp_path / "text.pfx").write_text("no PKCS#12")
    (tmp_path / "both.pem").write_text(bundle(ONE, TWO))
    (tmp_path / "locked.pem").write_text(bundle(ONE, TWO, password=PASSWORD))
    (tmp_path / "certs.pem").write_bytes(ONE.cert() + TWO.cert() + MIDDLE.cert())
    (tmp_path / "keys.pem").write_bytes(SERVER.private() + TWO.private() + ONE.private())
    (tmp_path / "two.key").write_bytes(TWO.private())
    return tmp_path


def made(folder: Path, **options: Any) -> TLS:
    tls, flaws = decode(TLS, options, base_dir=folder)
    assert tls is not None, flaws
    return tls


async def shown(tls: TLS) -> str:
    """The subject of the certificate that a server shows, with a chain up to our authority."""
    tls.check_files()
    ends = await shake(TRUSTING, tls)
    assert ends["client"] == "TLSv1.3", ends["client"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ways = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    near = context.wrap_bio(ways[0], ways[1])
    far = tls.server_context().wrap_bio(ways[1], ways[0], server_side=True)
    for side in (near, far, near):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    der = near.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


@pytest.mark.parametrize(
    "options",
    [
        {"pkcs12": "one.pfx", "key_password": PASSWORD},
        {"pkcs12": "open.pfx"},
        {"pkcs12": "old.pfx", "key_password": PASSWORD},
        {"pkcs12": "one.pfx", "key_password": PASSWORD, "subject": "line 1"},
        {"cert": "both.pem"},
        {"cert": "both.pem", "subject": "CN=line 1,O=Acme"},
        {"cert": "both.pem", "subject": "o=acme, cn=LINE 1"},
        {"cert": "locked.pem", "subject": "line 1", "key_password": PASSWORD},
        {"cert": "locked.pem", "key_password": PASSWORD},
        {"cert": "certs.pem", "key": "keys.pem"},
        {"cert": "certs.pem", "key": "keys.pem", "subject": "line 1"},
        {"cert": "both.pem", "subject": f"Thumbprint={hashlib.sha256(ONE.cert(DER)).hexdigest()}"},
    ],
)
async def test_one_certificate_is_shown_with_its_chain(folder: Path, options: Any) -> None:
    assert await shown(made(folder, **options)) == "CN=line 1,O=Acme"


@pytest.mark.parametrize("separator", ["", ":", " "])
async def test_a_thumbprint_as_tools_write_it(folder: Path, separator: str) -> None:
    digest = hashlib.sha256(TWO.cert(DER)).hexdigest().upper()
    pairs = separator.join(digest[i : i + 2] for i in range(0, len(digest), 2))
    tls = made(folder, cert="both.pem", subject=f"thumbprint={pairs}")
    assert await shown(tls) == "CN=line 2,O=Acme"


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"pkcs12": "nope"}, "cert_not_found", "tls.pkcs12: cannot read the file"),
        ({"pkcs12": "one.pfx"}, "key_invalid", "is encrypted; give its password"),
        ({"pkcs12": "one.pfx", "key_password": "no"}, "key_invalid", "key_password: does not open"),
        ({"pkcs12": "broken.pfx"}, "cert_invalid", "tls.pkcs12: "),
        ({"pkcs12": "text.pfx"}, "cert_invalid", "is no PKCS#12 file"),
        ({"pkcs12": "both.pem"}, "cert_invalid", "is no PKCS#12 file"),
        ({"pkcs12": "keyless.pfx", "key_password": PASSWORD}, "cert_invalid", "holds no certificate"),
        (
            {"pkcs12": "one.pfx", "key_password": PASSWORD, "subject": "line 2"},
            "cert_invalid", 'tls.subject: "line 2" fits none of the certificates',
        ),
        ({"cert": "both.pem", "subject": "Acme"}, "cert_invalid", "fits more than one of"),
        ({"cert": "both.pem", "subject": "line 3"}, "cert_invalid", '"CN=line 1,O=Acme", "CN=line 2'),
        ({"cert": "both.pem", "subject": "Thumbprint=00"}, "cert_invalid", "fits none of"),
        ({"cert": "locked.pem", "subject": "line 1"}, "key_invalid", "give its password"),
        (
            {"cert": "locked.pem", "subject": "line 1", "key_password": "no"},
            "key_invalid", "tls.key_password: does not open",
        ),
        ({"cert": "certs.pem", "subject": "line 1"}, "key_invalid", "give it as tls.key"),
        (
            {"cert": "certs.pem", "key": "two.key", "subject": "line 1"},
            "cert_invalid", 'fits none of the certificates that have a key: "CN=line 2,O=Acme"',
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used(folder: Path, options: Any, kind: str, text: str) -> None:
    tls = made(folder, **options)
    with pytest.raises(TLSConfigError) as caught:
        tls.check_files()
    assert text in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert code(caught.value) == f"ws.tls_{kind}"


@pytest.mark.parametrize(("option", "module"), [("pkcs12", "keystore"), ("subject", "keystore")])
def test_without_the_library_the_command_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.x509", None)
    monkeypatch.delitem(sys.modules, f"flowbus.tls.{module}", raising=False)
    options = {"pkcs12": "open.pfx"} if option == "pkcs12" else {"cert": "both.pem", "subject": "x"}
    with pytest.raises(TLSConfigError, match=rf"tls.{option}: needs .*'flowbus\[tls\]'"):
        made(folder, **options).check_files()


# ---- kinds of keys


def test_a_dsa_certificate_needs_an_old_version() -> None:
    own = Identity("c", CA, hosts=["c"], key=dsa.generate_private_key(2048))
    with pytest.raises(TLSConfigError, match=r'has a DSA key.* set max_version to "1.2"') as caught:
        inline(own).check_files()
    assert code(caught.value) == "ws.tls_cert_invalid"
    with pytest.raises(TLSConfigError, match="DSA"):
        inline(own).client_context()
    inline(own, max_version="1.2").check_files()


def test_keys_of_the_same_kind_do_not_stand_beside_each_other() -> None:
    with pytest.raises(
        TLSConfigError, match=r"tls.also\[0\].cert: has a key of the same kind .EC. as tls;"
    ):
        inline(SERVER, also=(inline_identity(TWO),)).check_files()
    rsa_key = rsa.generate_private_key(65537, 2048)
    other = inline_identity(Identity("r", CA, hosts=["plc.test"], key=rsa_key))
    inline(SERVER, also=(other,)).check_files()
    with pytest.raises(
        TLSConfigError,
        match=r'tls.sni\["a.test"\].also\[1\].cert: has a key of the same kind .RSA. as',
    ):
        inline(SERVER, sni={"a.test": inline_named(SERVER, other, other)}).check_files()


def inline_identity(identity: Identity) -> Any:
    from flowbus.tls.identity import Identity as Shown

    return Shown(cert=identity.cert().decode(), key=identity.private().decode())


def inline_named(identity: Identity, *also: Any) -> Any:
    from flowbus.tls.identity import ServerIdentity

    return ServerIdentity(cert=identity.cert().decode(), key=identity.private().decode(), also=also)


def test_what_is_wrong_below_sni_has_its_place(folder: Path) -> None:
    tls = made(folder, cert="both.pem", sni={"a.test": {"cert": "certs.pem"}})
    with pytest.raises(TLSConfigError, match=r'tls.sni\["a.test"\].key: .* give it as tls.sni\['):
        tls.check_files()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (dsa.generate_private_key(2048), "DSA"),
        (None, "EC"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
)
def test_the_kind_of_a_key(key: Any, kind: str) -> None:
    for issuer in (CA, OTHER_CA, None):
        pem = Identity("x", issuer, hosts=["x"], key=key).cert().decode()
        assert key_kind(f"{pem}\n{CA.cert().decode()}") == kind


@given(st.binary(max_size=80), st.integers(0, 400))
def test_the_kind_of_garbage_is_unknown(garbage: bytes, at: int) -> None:
    der = SERVER.cert(DER)
    for data in (garbage, der[:at] + garbage, der[:at]):
        assert key_kind(ssl.DER_cert_to_PEM_cert(data)) in ("", "EC", "RSA")
