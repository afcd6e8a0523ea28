"""Tokens that must not be trusted, each refused with its own fault and never another exception."""

from __future__ import annotations

import contextlib
import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbus import JWT, Rejected
from flowbus.secrets import Secret
from tests.jwt.material import (
    ALGORITHMS,
    ED25519,
    NOW,
    OTHER_RSA,
    P256,
    RSA,
    SECRET,
    forged,
    jwk,
    peer_token,
    public_pem,
    signing,
    unpadded,
    verifying,
)

RS = verifying("RS256")
HS = verifying("HS256")
GOOD = peer_token({"sub": "line3"}, "RS256")


def refusal(jwt: JWT, token: str | bytes, now: float = NOW) -> tuple[str, str]:
    """The code and the text with which a token is refused; neither shows the token."""
    with pytest.raises(Rejected) as caught:
        jwt.verify(token, now)
    text = token.decode(errors="replace") if isinstance(token, bytes) else token
    longest = max(text.split("."), key=len)
    assert len(longest) < 8 or longest not in str(caught.value)
    assert caught.value.fault in JWT.faults()
    return caught.value.fault.code, caught.value.text


def code(jwt: JWT, token: str | bytes, now: float = NOW) -> str:
    return refusal(jwt, token, now)[0]


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


# ---- any change at all

TOKENS = {
    algorithm: peer_token({"sub": "line3", "exp": int(NOW) + 60}, algorithm)
    for algorithm in ("HS256", "RS256", "PS256", "ES256", "ES512", "EdDSA")
}
VERIFIERS = {algorithm: verifying(algorithm).verifier() for algorithm in TOKENS}
CHARACTERS = string.ascii_letters + string.digits + "-_.=+/ \n\x00ä\ud800"


def assert_refused(algorithm: str, token: str | bytes) -> None:
    with pytest.raises(Rejected) as caught:
        VERIFIERS[algorithm].verify(token, NOW)
    assert caught.value.fault.code.startswith("jwt.")


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(TOKENS)), st.data())
def test_any_changed_character_is_refused(algorithm: str, data: st.DataObject) -> None:
    token = TOKENS[algorithm]
    at = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from(CHARACTERS).filter(lambda c: c != token[at]))
    assert_refused(algorithm, token[:at] + character + token[at + 1 :])


@pytest.mark.parametrize("algorithm", TOKENS)
def test_every_other_last_character_is_refused(algorithm: str) -> None:
    """Left-over bits of base64url, which many decoders ignore, would let a few of these pass."""
    token = TOKENS[algorithm]
    for end in (len(token), token.rindex("."), token.index(".")):
        for character in CHARACTERS.replace(token[end - 1], ""):
            assert_refused(algorithm, token[: end - 1] + character + token[end:])


@pytest.mark.parametrize("algorithm", TOKENS)
def test_every_strict_prefix_is_refused(algorithm: str) -> None:
    token = TOKENS[algorithm]
    for end in range(len(token)):
        assert_refused(algorithm, token[:end])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(TOKENS)), st.data())
def test_an_added_or_lost_character_is_refused(algorithm: str, data: st.DataObject) -> None:
    token = TOKENS[algorithm]
    at = data.draw(st.integers(0, len(token) - 1))
    if data.draw(st.booleans()):
        assert_refused(algorithm, token[:at] + data.draw(st.sampled_from(CHARACTERS)) + token[at:])
    else:
        assert_refused(algorithm, token[:at] + token[at + 1 :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_or_text_are_refused(token: str | bytes) -> None:
    assert_refused("HS256", token)


STRICT = signing(
    issuer="a",
    subject="b",
    audience="c",
    claims={"d": [1, {"e": None}]},
    max_age=10.0,
    required=("f",),
).verifier()


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(("alg", "kid", "typ", "crit", "b64", "jwk")), JSON),
    st.dictionaries(st.sampled_from(("iss", "sub", "aud", "exp", "nbf", "iat", "d", "f")), JSON),
)
def test_a_right_signature_over_anything_gives_claims_or_a_fault(header: Any, claims: Any) -> None:
    token = forged({"alg": "HS256", **header}, claims, key=SECRET.encode())
    with pytest.raises(Rejected) as caught:
        STRICT.verify(token, NOW)
    assert caught.value.fault in JWT.faults()
    assert caught.value.text.isprintable()
    with contextlib.suppress(Rejected):  # nothing but that is allowed here
        assert isinstance(VERIFIERS["HS256"].verify(token, NOW), dict)


# ---- times


def test_a_token_expires_at_its_last_second_plus_leeway() -> None:
    token = peer_token({"exp": int(NOW)})
    for leeway in (0.0, 10.0):
        jwt = verifying(leeway=leeway)
        assert jwt.verify(token, NOW + leeway - 0.001) == {"exp": int(NOW)}
        assert code(jwt, token, NOW + leeway) == "jwt.expired"
    assert refusal(verifying(leeway=0.0), token, NOW + 90) == ("jwt.expired", "expired 90 s ago")


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_begins_at_its_first_second_minus_leeway(claim: str) -> None:
    token = peer_token({claim: int(NOW)})
    for leeway in (0.0, 10.0):
        jwt = verifying(leeway=leeway)
        assert jwt.verify(token, NOW - leeway) == {claim: int(NOW)}
        assert code(jwt, token, NOW - leeway - 0.001) == "jwt.not_yet_valid"
    assert claim in refusal(verifying(), token, NOW - 3600)[1]


def test_times_may_have_fractions() -> None:
    jwt = verifying(leeway=0.0)
    assert jwt.verify(peer_token({"exp": NOW + 0.5, "nbf": NOW - 0.5}), NOW)
    assert code(jwt, peer_token({"exp": NOW - 0.5})) == "jwt.expired"
    assert code(jwt, peer_token({"nbf": NOW + 0.5})) == "jwt.not_yet_valid"


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1800000000", None, True, [], {}])
def test_a_time_that_is_no_number_is_refused(claim: str, value: Any) -> None:
    token = forged({"alg": "HS256"}, {claim: value}, key=SECRET.encode())
    assert code(HS, token) == "jwt.wrong_claim"


@pytest.mark.parametrize("value", [10**30, -(10**30), 2**63, 1.7e308, -0.0])
def test_times_beyond_all_bounds_are_compared_all_the_same(value: float) -> None:
    token = forged({"alg": "HS256"}, {"exp": value}, key=SECRET.encode())
    if value > NOW:
        assert HS.verify(token, NOW)
    else:
        assert code(HS, token) == "jwt.expired"


def test_a_token_can_be_too_old_without_being_expired() -> None:
    jwt = verifying(max_age=60.0, leeway=5.0)
    token = peer_token({"iat": int(NOW)})
    assert jwt.verify(token, NOW + 65)
    assert code(jwt, token, NOW + 65.1) == "jwt.too_old"
    assert code(jwt, peer_token({"a": 1})) == "jwt.missing_claim"


def test_the_clock_of_the_machine_counts_by_default() -> None:
    assert HS.verify(signing().sign({"a": 1}))["a"] == 1
    with pytest.raises(Rejected) as caught:
        HS.verify(signing(lifetime=1.0).sign({"a": 1}, 1_000_000.0))
    assert caught.value.fault.code == "jwt.expired"


# ---- claims


@pytest.mark.parametrize(
    ("options", "claims", "expected"),
    [
        ({"audience": "a"}, {"aud": "b"}, "jwt.wrong_audience"),
        ({"audience": "a"}, {"aud": ["b", "c"]}, "jwt.wrong_audience"),
        ({"audience": "a"}, {"aud": []}, "jwt.wrong_audience"),
        ({"audience": "a"}, {"aud": 5}, "jwt.wrong_audience"),
        ({"audience": "a"}, {"aud": ["a", 5]}, "jwt.wrong_audience"),
        ({"audience": "a"}, {"aud": "A"}, "jwt.wrong_audience"),
        ({"audience": ("a", "b")}, {"aud": ["c"]}, "jwt.wrong_audience"),
        ({"audience": "a"}, {}, "jwt.missing_claim"),
        ({}, {"aud": "a"}, "jwt.wrong_audience"),
        ({"issuer": "a"}, {"iss": "b"}, "jwt.wrong_issuer"),
        ({"issuer": "a"}, {"iss": ["a"]}, "jwt.wrong_issuer"),
        ({"issuer": "a"}, {}, "jwt.missing_claim"),
        ({"subject": "a"}, {"sub": "b"}, "jwt.wrong_subject"),
        ({"subject": "a"}, {"sub": None}, "jwt.wrong_subject"),
        ({"subject": "a"}, {}, "jwt.missing_claim"),
        ({"required": ("a", "b")}, {"a": 1}, "jwt.missing_claim"),
        ({"required": ("a",)}, {"a": None}, "jwt.missing_claim"),
        ({"required": ("exp",)}, {"a": 1}, "jwt.missing_claim"),
        ({"claims": {"role": "admin"}}, {"role": "user"}, "jwt.wrong_claim"),
        ({"claims": {"role": "admin"}}, {}, "jwt.missing_claim"),
        ({"claims": {"n": 1}}, {"n": True}, "jwt.wrong_claim"),
        ({"claims": {"n": True}}, {"n": 1}, "jwt.wrong_claim"),
        ({"claims": {"n": {"a": [1, 2]}}}, {"n": {"a": [1, True]}}, "jwt.wrong_claim"),
        ({"claims": {"n": {"a": 1}}}, {"n": {"a": 1, "b": 2}}, "jwt.wrong_claim"),
        ({"claims": {"n": [1]}}, {"n": [1, 1]}, "jwt.wrong_claim"),
        ({"claims": {"n": None}}, {}, "jwt.missing_claim"),
    ],
)  # fmt: skip
def test_claims_that_do_not_hold(options: Any, claims: Any, expected: str) -> None:
    token = forged({"alg": "HS256"}, claims, key=SECRET.encode())
    assert code(verifying(**options), token) == expected


@pytest.mark.parametrize(
    ("options", "claims"),
    [
        ({"audience": "a"}, {"aud": "a"}),
        ({"audience": "a"}, {"aud": ["b", "a"]}),
        ({"audience": ("a", "b")}, {"aud": "b"}),
        ({"audience": ("a", "b")}, {"aud": ["c", "b"]}),
        ({"issuer": "a", "subject": "b"}, {"iss": "a", "sub": "b"}),
        ({"required": ("a", "b")}, {"a": 0, "b": ""}),
        (
            {"claims": {"n": 1, "l": [None, {"a": 1.5}]}},
            {"n": 1.0, "l": [None, {"a": 1.5}], "x": 1},
        ),
    ],
)
def test_claims_that_hold(options: Any, claims: Any) -> None:
    assert verifying(**options).verify(peer_token(claims), NOW) == claims


def test_a_refusal_says_what_was_expected() -> None:
    jwt = verifying(issuer="https://issuer.example")
    assert refusal(jwt, peer_token({"iss": "https://issuer.example/"})) == (
        "jwt.wrong_issuer",
        'iss is "https://issuer.example/", expected "https://issuer.example"',
    )


# ---- key sets


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
