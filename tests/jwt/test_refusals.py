"""Tokens that must not be trusted, each refused with its own fault."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jwt.material import (
    ALGORITHMS,
    NOW,
    OTHER_RSA,
    RSA,
    SECRET,
    code,
    forged,
    jwk,
    peer_token,
    public_pem,
    refusal,
    signing,
    unpadded,
    verifying,
)

RS = verifying("RS256")
HS = verifying("HS256")
GOOD = peer_token({"sub": "line3"}, "RS256")


# ---- algorithm and signature


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "nOnE", "", "HS256", "RS512", "PS256", "ES256"]
)
@pytest.mark.parametrize("signature", [b"", b"x" * 256])
def test_the_algorithm_is_not_taken_from_the_token(name: str, signature: bytes) -> None:
    token = forged({"alg": name, "typ": "JWT"}, {"sub": "line3"}, signature)
    assert code(RS, token) == "jwt.wrong_algorithm"


def test_names_of_algorithms_are_case_sensitive() -> None:
    token = forged({"alg": "hs256"}, {"sub": "line3"}, key=SECRET.encode())
    assert code(HS, token) == "jwt.wrong_algorithm"


def test_a_public_key_is_no_secret_for_a_forger() -> None:
    """The confusion of RS and HS: everybody has the public key and could sign with it."""
    for key in (public_pem(RSA), public_pem(RSA).strip()):
        token = forged({"alg": "HS256"}, {"sub": "admin"}, key=key.encode())
        assert code(RS, token) == "jwt.wrong_algorithm"
        assert code(verifying("ES256"), token) == "jwt.wrong_algorithm"
    assert (
        code(RS, forged({"alg": "RS256"}, {}, key=public_pem(RSA).encode())) == "jwt.bad_signature"
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_takes_its_own_tokens_only(algorithm: str) -> None:
    for other in ALGORITHMS:
        token = peer_token({"a": 1}, other)
        if other != algorithm:
            assert code(verifying(algorithm), token) == "jwt.wrong_algorithm"


def test_another_key_is_a_bad_signature() -> None:
    assert code(RS, peer_token({}, "RS256", OTHER_RSA)) == "jwt.bad_signature"
    assert code(HS, peer_token({}, "HS256", "x" + SECRET)) == "jwt.bad_signature"


def test_changed_claims_are_a_bad_signature() -> None:
    header, _, signature = GOOD.split(".")
    token = f"{header}.{unpadded(b'{}')}.{signature}"
    assert code(RS, token) == "jwt.bad_signature"
    assert code(RS, f"{header}..{signature}") == "jwt.bad_signature"
    assert code(RS, GOOD.rpartition(".")[0] + ".") == "jwt.bad_signature"


def test_keys_that_a_token_brings_along_are_not_looked_at() -> None:
    own = jwk(OTHER_RSA.public_key())
    header = {
        "jwk": own,
        "jku": "http://127.0.0.1:1/",
        "x5u": "http://127.0.0.1:1/",
        "x5c": ["MII"],
    }
    assert code(RS, peer_token({}, "RS256", OTHER_RSA, **header)) == "jwt.bad_signature"
    assert RS.verify(peer_token({"a": 1}, "RS256", **header), NOW) == {"a": 1}


# ---- header


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": None},
        {"crit": 5},
    ],
)
def test_what_is_critical_is_not_understood(header: dict[str, Any]) -> None:
    token = forged({"alg": "HS256", **header}, {}, key=SECRET.encode())
    assert code(HS, token) == "jwt.critical_header"


@pytest.mark.parametrize("value", [False, None, 0, 1, "true", []])
def test_an_unencoded_payload_is_refused(value: Any) -> None:
    token = forged({"alg": "HS256", "b64": value}, {}, key=SECRET.encode())
    assert code(HS, token) == "jwt.critical_header"


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": ["HS256"]}, {"alg": 256}])
def test_a_header_without_an_algorithm_is_no_token(header: Any) -> None:
    assert code(HS, forged(header, {}, key=SECRET.encode())) == "jwt.malformed"


@pytest.mark.parametrize("header", [[], ["alg"], "alg", None, 5, b"", b"{", b"\xff", b"[" * 5000])
def test_a_header_that_is_no_object_is_no_token(header: Any) -> None:
    assert code(HS, forged(header, {}, key=SECRET.encode())) == "jwt.malformed"


def test_the_type_is_checked_where_one_is_configured() -> None:
    access = verifying(typ="at+jwt")
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert access.verify(peer_token({"a": 1}, typ=typ), NOW) == {"a": 1}
    assert code(access, peer_token({"a": 1})) == "jwt.wrong_type"
    assert code(access, forged({"alg": "HS256"}, {}, key=SECRET.encode())) == "jwt.wrong_type"
    assert (
        code(access, forged({"alg": "HS256", "typ": 1}, {}, key=SECRET.encode()))
        == "jwt.wrong_type"
    )
    assert access.verify(signing(typ="at+jwt").sign({"a": 1}, NOW), NOW)["a"] == 1


# ---- form


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b'{"a": NaN}',
        b"[" * 5000,
        b'{"a": 1e999}',
    ],
)
def test_claims_that_are_no_json_object_are_no_token(claims: bytes) -> None:
    assert code(HS, forged({"alg": "HS256"}, claims, key=SECRET.encode())) == "jwt.malformed"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "Bearer " + GOOD,
        GOOD + ".",
        "\ud800",
        "ä.ö.ü",
        b"\xff.\xff.\xff",
        GOOD + "\n",
        GOOD + "=",
    ],
)
def test_garbage_is_no_token(token: str | bytes) -> None:
    assert code(RS, token) == "jwt.malformed"


def test_an_encrypted_token_is_called_by_its_name() -> None:
    found, text = refusal(RS, "a.b.c.d.e")
    assert found == "jwt.malformed"
    assert "encrypted" in text


def test_an_oversized_token_is_not_looked_into() -> None:
    small = verifying(max_size=len(GOOD) - 1, algorithm="RS256")
    assert code(small, GOOD) == "jwt.too_large"
    assert code(small, "x" * len(GOOD)) == "jwt.too_large"
    assert verifying(max_size=len(GOOD), algorithm="RS256").verify(GOOD, NOW) == {"sub": "line3"}
    big = peer_token({"a": "x" * 8192})
    found, text = refusal(HS, big)
    assert (found, text) == ("jwt.too_large", f"{len(big)} bytes, 8192 are allowed")
    assert verifying(max_size=20_000).verify(big, NOW) == {"a": "x" * 8192}


def test_long_headers_and_signatures_are_fine_below_the_size() -> None:
    """joserfc itself draws the line for a header at 512 bytes."""
    token = peer_token({"a": 1}, "HS256", None, note="x" * 3000)
    assert HS.verify(token, NOW) == {"a": 1}
