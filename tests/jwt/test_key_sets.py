"""Which key of a set a token is verified by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowbus import JWT
from flowbus.secrets import Secret
from tests.jwt.material import (
    ED25519,
    NOW,
    OTHER_RSA,
    P256,
    RSA,
    SECRET,
    code,
    forged,
    jwk,
    peer_token,
    refusal,
    verifying,
)

RS = verifying("RS256")


def rotated() -> dict[str, Any]:
    return {
        "keys": [
            jwk(OTHER_RSA.public_key(), kid="old", use="sig", alg="RS256"),
            jwk(RSA.public_key(), kid="new", use="sig"),
            jwk(P256.public_key(), kid="ec"),
            jwk(RSA.public_key(), kid="enc", use="enc"),
            {"kty": "AKP", "kid": "post-quantum"},
        ]
    }


def test_the_key_id_chooses_from_a_set() -> None:
    jwt = JWT(algorithm="RS256", key=rotated())
    assert jwt.verify(peer_token({"a": 1}, "RS256", RSA, kid="new"), NOW)
    assert jwt.verify(peer_token({"a": 1}, "RS256", OTHER_RSA, kid="old"), NOW)
    assert code(jwt, peer_token({}, "RS256", RSA, kid="old")) == "jwt.bad_signature"
    assert refusal(jwt, peer_token({}, "RS256", RSA, kid="newer")) == (
        "jwt.unknown_key",
        'there is no key "newer"; there is "old", "new"',
    )
    assert code(jwt, peer_token({}, "RS256", RSA)) == "jwt.unknown_key"
    assert code(jwt, forged({"alg": "RS256", "kid": 5}, {})) == "jwt.malformed"


@pytest.mark.parametrize("kid", ["ec", "enc", "post-quantum"])
def test_a_key_of_the_set_that_cannot_be_used_says_why(kid: str) -> None:
    found, text = refusal(
        JWT(algorithm="RS256", key=rotated()), peer_token({}, "RS256", RSA, kid=kid)
    )
    assert found == "jwt.unknown_key"
    assert f'the key "{kid}" cannot be used: ' in text


def test_key_id_narrows_a_set_to_one_key() -> None:
    jwt = JWT(algorithm="RS256", key=rotated(), key_id="new")
    assert jwt.verify(peer_token({"a": 1}, "RS256", RSA, kid="new"), NOW)
    assert jwt.verify(peer_token({"a": 1}, "RS256", RSA), NOW)
    assert code(jwt, peer_token({}, "RS256", OTHER_RSA, kid="old")) == "jwt.unknown_key"


def test_keys_of_one_id_are_tried_in_turn() -> None:
    both = {"keys": [jwk(RSA.public_key(), kid="k"), jwk(OTHER_RSA.public_key(), kid="k")]}
    jwt = JWT(algorithm="RS256", key=both)
    for key in (RSA, OTHER_RSA):
        assert jwt.verify(peer_token({"a": 1}, "RS256", key, kid="k"), NOW)
    nameless = {"keys": [jwk(RSA.public_key()), jwk(OTHER_RSA.public_key())]}
    for key in (RSA, OTHER_RSA):
        assert JWT(algorithm="RS256", key=nameless).verify(peer_token({"a": 1}, "RS256", key), NOW)


def test_a_lone_key_without_an_id_is_for_every_token() -> None:
    assert RS.verify(peer_token({"a": 1}, "RS256", RSA, kid="whatever"), NOW)
    named = verifying("RS256", key_id="mine")
    assert named.verify(peer_token({"a": 1}, "RS256", RSA, kid="mine"), NOW)
    assert code(named, peer_token({"a": 1}, "RS256", RSA, kid="other")) == "jwt.unknown_key"
    own = JWT(algorithm="EdDSA", key=jwk(ED25519.public_key(), kid="own"))
    assert code(own, peer_token({}, "EdDSA", None, kid="other")) == "jwt.unknown_key"


def test_a_set_of_secrets() -> None:
    keys = [jwk(bytes([n]) * 32, kid=f"k{n}") for n in range(3)]
    jwt = JWT(algorithm="HS256", key=json.dumps({"keys": keys}))
    assert jwt.verify(peer_token({"a": 1}, "HS256", b"\2" * 32, kid="k2"), NOW)
    assert JWT(algorithm="HS256", key={"keys": keys}, key_id="k1").sign({}, NOW)


def test_a_secret_with_an_id() -> None:
    jwt = JWT(algorithm="HS256", secret=Secret(SECRET), key_id="k")
    assert jwt.verify(jwt.sign({"a": 1}, NOW), NOW)["a"] == 1
