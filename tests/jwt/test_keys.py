"""Keys that cannot be used: which option is wrong, why, and by which fault; and what never shows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbus import JWT, ConfigError
from flowbus.config import decode
from flowbus.secrets import Redactor, Secret, resolve
from tests.jwt.material import (
    ED25519,
    NOW,
    P256,
    P384,
    RSA,
    SECRET,
    jwk,
    peer_token,
    private_der,
    private_pem,
    public_der,
    public_pem,
    signing,
    unpadded,
    verifying,
)

X25519_JWK = {"kty": "OKP", "crv": "X25519", "x": unpadded(b"\x09" + bytes(31))}
SMALL_RSA = rsa.generate_private_key(65537, 1024)


def made(**options: Any) -> JWT:
    if "secret" in options:
        options["secret"] = Secret(options["secret"])
    if "key_password" in options:
        options["key_password"] = Secret(options["key_password"])
    return JWT(**options)


def wrong(jwt: JWT, use: str = "verify") -> tuple[str, str, str]:
    """Option, fault and text of the error that using ``jwt`` ends with."""
    with pytest.raises(ConfigError) as caught:
        jwt.signer() if use == "sign" else jwt.check_files()
    error = caught.value
    assert error.fault in JWT.faults()
    assert str(error) == f"{error.option}: {error.text}"
    assert error.text.isprintable()
    assert len(error.text) < 500
    return error.option, error.fault.code, error.text


@pytest.mark.parametrize(
    ("options", "option", "code", "text"),
    [
        ({"algorithm": "RS256", "key": public_pem(P256)}, "key", "jwt.key_mismatch", "RS256 needs an RSA key, this is an EC key"),
        ({"algorithm": "PS512", "key": public_pem(ED25519)}, "key", "jwt.key_mismatch", "this is a key of type OKP"),
        ({"algorithm": "ES256", "key": public_pem(RSA)}, "key", "jwt.key_mismatch", "ES256 needs an EC key, this is an RSA key"),
        ({"algorithm": "ES256", "key": public_pem(P384)}, "key", "jwt.key_mismatch", "does not go with ES256: Key for 'ES256' not supported, only 'P-256' allowed"),
        ({"algorithm": "ES512", "key": jwk(P256)}, "key", "jwt.key_mismatch", "only 'P-521' allowed"),
        ({"algorithm": "ES256", "key": public_pem(ec.generate_private_key(ec.SECP224R1()))}, "key", "jwt.key_mismatch", "an EC key of the curve secp224r1"),
        ({"algorithm": "EdDSA", "key": public_pem(P256)}, "key", "jwt.key_mismatch", "EdDSA needs an Ed25519 key"),
        ({"algorithm": "Ed25519", "key": public_pem(ed448.Ed448PrivateKey.generate())}, "key", "jwt.key_mismatch", "only 'Ed25519' allowed"),
        ({"algorithm": "EdDSA", "key": public_pem(x25519.X25519PrivateKey.generate())}, "key", "jwt.key_mismatch", "no RSA, EC or Ed25519 key"),
        ({"algorithm": "EdDSA", "key": X25519_JWK}, "key", "jwt.key_mismatch", "this is a key for key exchange (X25519)"),
        ({"algorithm": "RS256", "key": public_pem(dsa.generate_private_key(1024))}, "key", "jwt.key_mismatch", "no RSA, EC or Ed25519 key"),
        ({"algorithm": "HS256", "key": public_pem(RSA)}, "key", "jwt.key_mismatch", "HS256 needs a secret"),
        ({"algorithm": "HS512", "key": jwk(RSA.public_key())}, "key", "jwt.key_mismatch", "HS512 needs a secret"),
        ({"algorithm": "HS256", "key": jwk(public_pem(RSA).encode())}, "key", "jwt.key_invalid", "must not be used as oct keys"),
        ({"algorithm": "HS256", "key": jwk(public_der(RSA))}, "key", "jwt.key_invalid", "must not be used as oct keys"),
        ({"algorithm": "RS256", "key": jwk(b"x" * 64)}, "key", "jwt.key_mismatch", "RS256 needs an RSA key, this is a secret"),
        ({"algorithm": "HS256", "secret": public_pem(RSA)}, "secret", "jwt.key_mismatch", "is a PEM, JWK or SSH key, not a secret"),
        ({"algorithm": "HS256", "secret": json.dumps(jwk(RSA.public_key()))}, "secret", "jwt.key_mismatch", "is a PEM, JWK"),
        ({"algorithm": "HS256", "secret": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ a@b"}, "secret", "jwt.key_mismatch", "SSH key"),
        ({"algorithm": "HS256", "secret": "x" * 31}, "secret", "jwt.key_weak", "HS256 needs 32 bytes (RFC 7518, 3.2), this has 31"),
        ({"algorithm": "HS384", "secret": "x" * 47}, "secret", "jwt.key_weak", "HS384 needs 48 bytes"),
        ({"algorithm": "HS512", "secret": "x" * 63}, "secret", "jwt.key_weak", "HS512 needs 64 bytes"),
        ({"algorithm": "HS256", "secret": ""}, "secret", "jwt.key_invalid", "must not be empty"),
        ({"algorithm": "HS256", "key": jwk(b"short")}, "key", "jwt.key_weak", "this has 5"),
        ({"algorithm": "RS256", "key": private_pem(SMALL_RSA)}, "key", "jwt.key_weak", "RS256 needs 2048 bits (RFC 7518, 3.3), this has 1024"),
        ({"algorithm": "PS256", "key": jwk(SMALL_RSA)}, "key", "jwt.key_weak", "PS256 needs 2048 bits"),
        ({"algorithm": "RS256", "key": jwk(RSA, alg="RS512")}, "key", "jwt.key_mismatch", 'its alg is "RS512", and algorithm says RS256'),
        ({"algorithm": "RS256", "key": jwk(RSA, use="enc")}, "key", "jwt.key_mismatch", "does not go with RS256: This key is designed to be used for 'enc'"),
        ({"algorithm": "RS256", "key": jwk(RSA, key_ops=["encrypt"])}, "key", "jwt.key_mismatch", "its key_ops do not allow to verify"),
        ({"algorithm": "RS256", "key": jwk(RSA, key_ops=["sign"], use="enc")}, "key", "jwt.key_invalid", "'use' and 'key_ops' does not match"),
        ({"algorithm": "RS256", "key": "/nowhere/key.pem"}, "key", "jwt.key_not_found", "cannot read the file /nowhere/key.pem: no such file"),
        ({"algorithm": "RS256", "key": "/"}, "key", "jwt.key_not_found", "/ is not a regular file"),
        ({"algorithm": "RS256", "key": "a\0b"}, "key", "jwt.key_not_found", "cannot read the file"),
        ({"algorithm": "RS256", "key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}, "key", "jwt.key_invalid", "cannot be used"),
        ({"algorithm": "RS256", "key": "-----BEGIN PUBLIC KEY-----\n"}, "key", "jwt.key_invalid", "neither a PEM, DER nor JSON key"),
        ({"algorithm": "RS256", "key": "{"}, "key", "jwt.key_invalid", "begins like a JSON key"),
        ({"algorithm": "RS256", "key": {}}, "key", "jwt.key_invalid", "without kty"),
        ({"algorithm": "RS256", "key": {"kty": "RSA", "n": 5, "e": "AQAB"}}, "key", "jwt.key_invalid", "must be a str"),
        ({"algorithm": "RS256", "key": {"kty": "RSA", "n": "%", "e": "AQAB"}}, "key", "jwt.key_invalid", "JWK that cannot be used"),
        ({"algorithm": "RS256", "key": {"kty": "XYZ"}}, "key", "jwt.key_invalid", "Invalid key type"),
        ({"algorithm": "ES256", "key": {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"}}, "key", "jwt.key_invalid", "its curve is unknown"),
        ({"algorithm": "RS256", "key": {"keys": []}}, "key", "jwt.key_mismatch", "no key of the set can verify with RS256"),
        ({"algorithm": "RS256", "key": {"keys": {}}}, "key", "jwt.key_invalid", "no list"),
        ({"algorithm": "RS256", "key": {"keys": [5, jwk(P256, kid="ec")]}}, "key", "jwt.key_mismatch", '"ec": RS256 needs an RSA key'),
        ({"algorithm": "RS256", "key": {"keys": [jwk(RSA, kid="a")]}, "key_id": "b"}, "key_id", "jwt.key_invalid", 'no key "b" of the set can verify: there is none'),
        ({"algorithm": "RS256", "key": {"keys": [jwk(RSA, kid="a"), jwk(P256, kid="b")]}, "key_id": "b"}, "key_id", "jwt.key_invalid", "RS256 needs an RSA key"),
        ({"algorithm": "RS256", "key": jwk(RSA, kid="a"), "key_id": "b"}, "key_id", "jwt.key_mismatch", 'the key has the id "a", key_id says "b"'),
        ({"algorithm": "RS256", "key": private_pem(RSA, "right")}, "key_password", "jwt.key_password", "is missing, and the private key is encrypted"),
        ({"algorithm": "RS256", "key": private_pem(RSA, "right"), "key_password": "wrong"}, "key_password", "jwt.key_password", "does not open the private key"),
        ({"algorithm": "RS256", "key": private_pem(RSA, "right", traditional=True), "key_password": "wrong"}, "key_password", "jwt.key_password", "does not open"),
        ({"algorithm": "RS256", "key": private_pem(RSA, "right", traditional=True)}, "key_password", "jwt.key_password", "is missing"),
        ({"algorithm": "RS256", "key": private_pem(RSA), "key_password": "x"}, "key_password", "jwt.key_password", "is given, and the private key is not encrypted"),
        ({"algorithm": "RS256", "key": public_pem(RSA), "key_password": "x"}, "key_password", "jwt.key_password", "key holds no private key"),
        ({"algorithm": "RS256", "key": jwk(RSA), "key_password": "x"}, "key_password", "jwt.key_invalid", "key is JSON"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used(options: Any, option: str, code: str, text: str) -> None:
    for use in ("verify", "sign"):
        found = wrong(made(**options), use)
        assert found[:2] == (option, code)
        assert text.replace("verify", use) in found[2]


def test_encrypted_der_and_wrong_passwords(tmp_path: Path) -> None:
    path = tmp_path / "key.der"
    path.write_bytes(private_der(RSA, "right"))
    assert wrong(made(algorithm="RS256", key=str(path)))[1] == "jwt.key_password"
    bad = made(algorithm="RS256", key=str(path), key_password="wrong")
    assert wrong(bad)[1] == "jwt.key_password"


def test_no_wrong_password_is_taken_for_a_bad_key() -> None:
    """One in 256 of them makes something of the key that looks decrypted."""
    pem = private_pem(RSA, "right", traditional=True)
    for number in range(1500):
        bad = made(algorithm="RS256", key=pem, key_password=f"wrong{number}")
        assert wrong(bad)[:2] == ("key_password", "jwt.key_password")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "key"
    other = b"-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n"
    for content in (
        b"",
        b"\x00",
        b"0",
        b"0\x82\x01",
        b"secret",
        b"\xff\xfe{",
        b"[]",
        other,
    ):
        path.write_bytes(content)
        assert wrong(made(algorithm="RS256", key=str(path)))[:2] == ("key", "jwt.key_invalid")
    path.write_bytes(b"{" * 5000)
    assert wrong(made(algorithm="RS256", key=str(path)))[:2] == ("key", "jwt.key_invalid")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(("RS256", "ES256", "EdDSA", "HS256")),
    st.dictionaries(
        st.sampled_from(("kty", "n", "e", "d", "p", "q", "k", "crv", "x", "y", "use", "alg", "kid", "key_ops", "keys", "oth", "x5c")),
        st.none() | st.integers() | st.text(max_size=6) | st.sampled_from(("RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB", "sign"))
        | st.lists(st.text(max_size=4) | st.dictionaries(st.sampled_from(("kty", "kid")), st.text(max_size=3))),
    ),
)  # fmt: skip
def test_any_json_is_a_key_or_a_config_error(algorithm: Any, key: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        JWT(algorithm=algorithm, key=key).check_files()
    assert caught.value.fault in JWT.faults()
    assert caught.value.text.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from((private_pem(P256), public_pem(RSA), private_pem(RSA, "x"))), st.data())
def test_a_damaged_pem_is_a_key_or_a_config_error(pem: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(pem) - 1))
    damaged = pem[:at] + data.draw(st.characters(max_codepoint=300)) + pem[at + 1 :]
    try:
        JWT(algorithm="RS256", key=damaged, key_password=Secret("y")).check_files()
    except ConfigError as error:
        found = error
    assert found.fault in JWT.faults()


def test_only_who_signs_needs_the_private_key() -> None:
    for key in (public_pem(RSA), jwk(RSA.public_key()), jwk(RSA, key_ops=["verify"])):
        jwt = made(algorithm="RS256", key=key)
        jwt.check_files()
        option, code, text = wrong(jwt, "sign")
        assert (option, code) == ("key", "jwt.key_mismatch")
        ops = isinstance(key, dict) and "key_ops" in key
        assert ("key_ops do not allow to sign" if ops else "is a public key") in text
        with pytest.raises(ConfigError, match=r"^bearer_jwt\.key: ") as caught:
            jwt.check_signing("bearer_jwt")
        assert caught.value.fault.code == "jwt.key_mismatch"
    signing("RS256").check_signing()
    made(algorithm="RS256", key="/nowhere").check_signing()  # check_files says so


def test_of_several_keys_one_must_be_named_to_sign() -> None:
    keys = {"keys": [jwk(RSA, kid="a"), jwk(RSA, kid="b"), jwk(P256, kid="c")]}
    option, code, text = wrong(made(algorithm="RS256", key=keys), "sign")
    assert (option, code) == ("key_id", "jwt.key_invalid")
    assert '"a", "b"' in text
    token = made(algorithm="RS256", key=keys, key_id="b").sign({}, NOW)
    verifying("RS256", key_id="b").verify(token, NOW)
    with pytest.raises(ConfigError, match=r"^jwt\.key_id: several"):
        made(algorithm="RS256", key=keys).check_signing()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"algorithm": "RS256"}, "key, secret: give one of them"),
        ({"algorithm": "HS256", "secret": SECRET, "key": "x"}, "key, secret: give one of them"),
        ({"algorithm": "RS256", "secret": SECRET}, "secret: goes with an HS algorithm; RS256 needs a key"),
        ({"algorithm": "HS256", "secret": SECRET, "key_password": "x"}, "key_password: is given without key"),
        ({"algorithm": "HS256", "secret": SECRET, "issuer": "a", "claims": {"iss": "b"}}, "claims: iss is what issuer says"),
        ({"algorithm": "HS256", "secret": SECRET, "audience": ("a",), "claims": {"aud": "b"}}, "claims: aud is what audience says"),
        ({"algorithm": "HS256", "secret": SECRET, "claims": {"exp": 5}}, "claims: exp is a time"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        made(**options)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS1", "RS1", "dir", "", 5, None])
def test_no_other_algorithm_can_be_configured(algorithm: Any) -> None:
    config, flaws = decode(JWT, {"algorithm": algorithm, "secret": SECRET})
    assert config is None
    assert [flaw.path for flaw in flaws] == [("algorithm",)]


# ---- decoding, and what never shows


def test_a_path_is_relative_to_the_flow_file_and_a_key_is_none(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(public_pem(RSA))
    (tmp_path / "key.jwk").write_text(json.dumps(jwk(RSA)))
    for key in (
        "key.pem",
        "key.jwk",
        public_pem(RSA),
        json.dumps(jwk(RSA)),
        " " + json.dumps({"keys": [jwk(RSA)]}),
        jwk(RSA),
        "${file:key.jwk}",
        "${file:key.pem}",
    ):
        raw, _ = resolve({"algorithm": "RS256", "key": key}, tmp_path)
        config, flaws = decode(JWT, raw, base_dir=tmp_path)
        assert flaws == []
        assert config is not None
        assert config.verify(peer_token({"a": 1}, "RS256"), NOW) == {"a": 1}


def test_claims_may_come_from_the_environment(tmp_path: Path) -> None:
    raw = {"algorithm": "HS256", "secret": "${env:S}", "claims": {"line": "${env:LINE}", "n": [1]}}
    resolved, _ = resolve(raw, tmp_path, environ={"S": SECRET, "LINE": "3"})
    config, _ = decode(JWT, resolved)
    assert config is not None
    assert config.claims == {"line": "3", "n": [1]}
    assert config.verify(config.sign())["line"] == "3"


@pytest.mark.parametrize(
    "key",
    [
        private_pem(RSA),
        jwk(RSA),
        json.dumps(jwk(RSA)),
        {"keys": [jwk(RSA)]},
        json.dumps({"keys": [jwk(RSA)]}),
    ],
)
def test_private_parts_of_an_inline_key_are_redacted(key: Any) -> None:
    redactor = Redactor()
    decode(JWT, {"algorithm": "RS256", "key": key}, redactor=redactor)
    lines = private_pem(RSA).splitlines()[1:-1]
    secrets = (
        lines
        if isinstance(key, str) and "BEGIN" in key
        else [jwk(RSA)[m] for m in ("d", "p", "q", "dp", "dq", "qi")]
    )
    for secret in secrets:
        assert redactor.redact(f"<{secret}>") == "<***>"
    assert redactor.redact(jwk(RSA)["n"]) == jwk(RSA)["n"]


def test_json_that_cannot_be_read_is_redacted_whole() -> None:
    redactor = Redactor()
    text = '{"kty": "oct", "k": "c2VjcmV0c2VjcmV0"'
    decode(JWT, {"algorithm": "HS256", "key": text}, redactor=redactor)
    assert "c2Vj" not in redactor.redact(f"the key is {text}")


@pytest.mark.parametrize(
    "jwt",
    [
        signing(), signing("RS256"), made(algorithm="HS256", key=jwk(SECRET.encode())),
        made(algorithm="RS256", key=private_pem(RSA, "of the key"), key_password="of the key"),
    ],
)  # fmt: skip
def test_keys_do_not_show(jwt: JWT) -> None:
    for shown in (jwt, jwt.signer(), jwt.verifier(), vars(jwt.signer()), vars(jwt.verifier())):
        text = repr(shown)
        for secret in (
            SECRET,
            "PRIVATE",
            "of the key",
            jwk(SECRET.encode())["k"],
            jwk(RSA)["d"][:20],
        ):
            assert secret not in text


def test_without_joserfc_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc.jwa", None)
    for use in (signing().sign, signing().verifier, signing().check_files):
        with pytest.raises(ConfigError, match=r"pip install 'flowbus\[jwt\]'") as caught:
            use()
        assert caught.value.fault.code == "jwt.library_missing"
