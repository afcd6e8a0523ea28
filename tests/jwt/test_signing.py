"""What a signed token says."""

from __future__ import annotations

import datetime
from types import MappingProxyType
from typing import Any

import jwt as peer
import pytest

from flowbus import Rejected
from tests.jwt.material import NOW, SECRET, signing, verifying


def body(token: str) -> dict[str, Any]:
    read: dict[str, Any] = peer.decode(token, options={"verify_signature": False})
    return read


def test_by_default_it_has_a_start_and_an_end() -> None:
    token = signing().sign(now=NOW + 0.9)
    assert body(token) == {"iat": int(NOW), "exp": int(NOW) + 300}
    assert peer.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_options_become_claims() -> None:
    jwt = signing(
        issuer="i", subject="s", audience="a", lifetime=60.0, not_before=True, claims={"role": "x"}
    )
    assert body(jwt.sign(now=NOW)) == {
        "role": "x", "iss": "i", "sub": "s", "aud": "a", "iat": int(NOW), "nbf": int(NOW), "exp": int(NOW) + 60,
    }  # fmt: skip
    assert body(signing(audience=("a", "b")).sign(now=NOW))["aud"] == ["a", "b"]
    assert "exp" not in body(signing(lifetime=None).sign(now=NOW))


def test_given_claims_stand_over_the_configured_ones_and_below_the_options() -> None:
    signer = signing(issuer="i", claims={"role": "x", "line": 3}).signer()
    given = MappingProxyType({"role": "y", "iss": "forged", "exp": 9e9, "iat": 1, "sub": "own"})
    assert body(signer.sign(given, NOW)) == {
        "role": "y", "line": 3, "iss": "i", "sub": "own", "iat": int(NOW), "exp": int(NOW) + 300,
    }  # fmt: skip
    assert body(signing(lifetime=None).sign({"exp": 9_000_000_000}, NOW))["exp"] == 9_000_000_000


def test_ids_of_tokens_differ() -> None:
    signer = signing(token_id=True).signer()
    ids = {body(signer.sign(now=NOW))["jti"] for _ in range(50)}
    assert len(ids) == 50
    assert all(len(one) == 32 for one in ids)


def test_header_has_type_and_key_id() -> None:
    token = signing(typ="at+jwt", key_id="k1").sign(now=NOW)
    assert peer.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": "k1"}


def test_it_lives_from_now_by_the_clock_of_the_machine() -> None:
    before = datetime.datetime.now(datetime.UTC).timestamp()
    read = peer.decode(signing().sign({"a": 1}), SECRET, ["HS256"])
    after = datetime.datetime.now(datetime.UTC).timestamp()
    assert int(before) <= read["iat"] <= after
    assert read["exp"] == pytest.approx(read["iat"] + 300, abs=1)


nested: list[Any] = []
for _ in range(100_000):
    nested = [nested]
loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"a": float("nan")}, "no JSON form"),
        ({"a": [float("inf")]}, "no JSON form"),
        ({"a": b"bytes"}, "bytes is not JSON serializable"),
        ({"a": {1, 2}}, "set is not JSON serializable"),
        ({5: "a"}, "the name of a claim is a int"),
        ({"a": "\ud800"}, "no valid Unicode"),
        ({"a": nested}, "nested too deeply"),
        ({"a": loop}, "Circular"),
    ],
)
def test_what_json_cannot_hold_is_rejected(claims: Any, text: str) -> None:
    with pytest.raises(Rejected, match=text) as caught:
        signing().sign(claims, NOW)
    assert caught.value.fault.code == "jwt.not_signable"


def test_a_signed_token_passes_its_own_verification() -> None:
    options: dict[str, Any] = {
        "issuer": "i", "subject": "s", "audience": ("a", "b"), "claims": {"n": {"x": [1, None]}},
        "key_id": "k", "typ": "at+jwt",
    }  # fmt: skip
    for algorithm in ("HS256", "ES256"):
        token = signing(algorithm, **options, not_before=True, token_id=True).sign(now=NOW)
        strict = {"required": ("exp", "jti", "nbf"), "max_age": 60.0, "leeway": 0.0}
        assert verifying(algorithm, **options, **strict).verify(token, NOW)["n"] == {"x": [1, None]}
