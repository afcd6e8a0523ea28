"""Tokens to PyJWT and back, for every algorithm and every form that a key can have."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt as peer
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from flowbus import JWT
from flowbus.secrets import Secret
from tests.jwt.material import (
    ALGORITHMS,
    KEYS,
    NOW,
    P256,
    RSA,
    SECRET,
    jwk,
    peer_key,
    peer_token,
    private_der,
    private_pem,
    public_der,
    public_pem,
    signing,
    verifying,
)

CLAIMS = {
    "sub": "line3",
    "speed": 1.5,
    "äöü": ["\u2028", None, True, {"a": -1}],
    "iat": int(NOW),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_peer_takes_what_is_signed(algorithm: str) -> None:
    options: dict[str, Any] = {"issuer": "edge", "audience": ("cloud", "archive"), "key_id": "k1"}
    token = signing(algorithm, **options, lifetime=None, not_before=True).sign(
        {"n": 1, **CLAIMS}, NOW
    )
    key = peer_key(algorithm)
    key = key if isinstance(key, str) else key.public_key()
    options = {"verify_iat": False, "verify_nbf": False}
    read = peer.decode(token, key, [algorithm], audience="cloud", issuer="edge", options=options)  # type: ignore[arg-type]
    times = {"iat": int(NOW), "nbf": int(NOW)}
    assert read == {"n": 1, **CLAIMS, "iss": "edge", "aud": ["cloud", "archive"], **times}
    assert peer.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_the_peer_signs_is_taken(algorithm: str) -> None:
    token = peer_token(CLAIMS, algorithm)
    assert verifying(algorithm, subject="line3").verify(token, NOW) == CLAIMS
    assert verifying(algorithm).verify(token.encode(), NOW) == CLAIMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_private_key_verifies_as_well(algorithm: str) -> None:
    assert signing(algorithm).verify(peer_token({"a": 1}, algorithm), NOW) == {"a": 1}


def certificate(key: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(7).not_valid_before(start)
    return builder.not_valid_after(start + timedelta(days=2)).sign(key, hashes.SHA256())


PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
OPENSSH = RSA.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
PRIVATE: dict[str, bytes] = {
    "PKCS8": private_pem(RSA).encode(),
    "PKCS1": private_pem(RSA, traditional=True).encode(),
    "OpenSSH": OPENSSH,
    "DER": private_der(RSA),
    "JWK": json.dumps(jwk(RSA)).encode(),
    "JWKS": json.dumps({"keys": [jwk(RSA, kid="k", use="sig", alg="RS256")]}).encode(),
    "several keys, of which the first counts": (
        private_pem(RSA, traditional=True) + private_pem(P256, traditional=True)
    ).encode(),
    "a file with text around": b"PUBLIC notes\n"
    + public_pem(RSA).encode()
    + private_pem(RSA).encode(),
}
PUBLIC: dict[str, bytes] = {
    **PRIVATE,
    "public PEM": public_pem(RSA).encode(),
    "public PKCS1": RSA.public_key().public_bytes(PEM, serialization.PublicFormat.PKCS1),
    "public DER": public_der(RSA),
    "certificate": certificate(RSA).public_bytes(PEM),
    "certificate DER": certificate(RSA).public_bytes(DER),
    "public JWK": b"\n " + json.dumps(jwk(RSA.public_key(), key_ops=["verify"])).encode(),
    "public JWKS": json.dumps({"keys": [jwk(RSA.public_key())]}).encode(),
}


@pytest.mark.parametrize("form", PRIVATE)
def test_private_keys_of_every_form_sign(form: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(PRIVATE[form])
    token = JWT(algorithm="RS256", key=str(path)).sign({"a": 1}, NOW)
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert peer.decode(token, RSA.public_key(), ["RS256"], options=options)["a"] == 1


@pytest.mark.parametrize("form", PUBLIC)
def test_public_keys_of_every_form_verify(form: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(PUBLIC[form])
    token = peer_token({"a": 1}, "RS256")
    assert JWT(algorithm="RS256", key=str(path)).verify(token, NOW) == {"a": 1}


@pytest.mark.parametrize("key", [jwk(P256), json.dumps(jwk(P256)), private_pem(P256)])
def test_keys_may_stand_in_the_flow_file(key: Any) -> None:
    both = JWT(algorithm="ES256", key=key)
    assert both.verify(both.sign({"a": 1}, NOW), NOW)["a"] == 1


@pytest.mark.parametrize("algorithm", KEYS)
def test_keys_as_jwk(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = JWT(algorithm=algorithm, key=jwk(key, alg=algorithm, use="sig")).sign({"a": 1}, NOW)  # type: ignore[arg-type]
    public = JWT(algorithm=algorithm, key=jwk(key.public_key()))  # type: ignore[arg-type]
    assert public.verify(token, NOW)["a"] == 1


@pytest.mark.parametrize("make", [private_pem, private_der])
@pytest.mark.parametrize("key", [RSA, P256])
def test_encrypted_keys_open_with_their_password(make: Any, key: Any, tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = make(key, password="of the key")
    path.write_bytes(made if isinstance(made, bytes) else made.encode())
    algorithm: Any = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    jwt = JWT(algorithm=algorithm, key=str(path), key_password=Secret("of the key"))
    read = peer.decode(jwt.sign({"a": 1}), key.public_key(), [algorithm])
    assert read["a"] == 1


def test_a_secret_that_is_no_text_is_a_jwk() -> None:
    secret = bytes(range(200, 250))
    token = peer.encode({"a": 1}, secret, "HS256")
    assert JWT(algorithm="HS256", key=jwk(secret)).verify(token, NOW) == {"a": 1}


def test_a_key_file_is_read_at_every_signature_of_a_jwt(tmp_path: Path) -> None:
    path = tmp_path / "key"
    jwt = JWT(algorithm="ES256", key=str(path))
    for key in (P256, ec.generate_private_key(ec.SECP256R1())):
        path.write_text(private_pem(key))
        assert peer.decode(jwt.sign({"a": 1}), key.public_key(), ["ES256"])["a"] == 1


def test_a_signer_keeps_its_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(private_pem(P256))
    jwt = JWT(algorithm="ES256", key=str(path))
    signer, verifier = jwt.signer(), jwt.verifier()
    path.unlink()
    assert verifier.verify(signer.sign({"a": 1}))["a"] == 1


def test_a_secret_counts_as_utf8() -> None:
    secret = "ein Geheimnis, das länger ist als der Hash: äöüß"
    jwt = JWT(algorithm="HS256", secret=Secret(secret))
    assert peer.decode(jwt.sign({"a": 1}), secret.encode(), ["HS256"])["a"] == 1
    assert jwt.verify(peer.encode({"a": 1}, secret.encode(), "HS256")) == {"a": 1}
    assert SECRET not in repr(signing())
