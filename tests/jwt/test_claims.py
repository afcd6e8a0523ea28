"""What is asked of the claims of a token whose signature is good."""

from __future__ import annotations

from typing import Any

import pytest

from flowbus import Rejected
from tests.jwt.material import NOW, SECRET, code, forged, peer_token, refusal, signing, verifying

HS = verifying("HS256")


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
