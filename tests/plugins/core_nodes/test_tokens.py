"""Claims to tokens and back, in flows."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import jwt as peer
import pytest
import trio

from flowbus import Message, Outcome, State, plugins
from flowbus.testing import run_flow
from tests.jwt.material import (
    OTHER_RSA,
    P256,
    RSA,
    SECRET,
    forged,
    jwk,
    peer_token,
    private_pem,
    public_pem,
    unpadded,
)

HS = {"algorithm": "HS256", "secret": SECRET}


async def test_an_object_becomes_a_token(apply: Any) -> None:
    message = Message({"sub": "line3", "n": [1, None]}, "a/b", {"qos": 1})
    (out,) = (await apply("jwt-sign", message, jwt={**HS, "issuer": "edge"}))["out"]
    read = peer.decode(out.payload, SECRET, ["HS256"], issuer="edge")
    assert (read["sub"], read["n"]) == ("line3", [1, None])
    assert read["exp"] - read["iat"] == 300
    assert (out.topic, dict(out.headers)) == ("a/b", {"qos": 1})


async def test_claims_of_the_message_stand_over_the_configured_ones(apply: Any) -> None:
    options = {**HS, "claims": {"role": "x", "line": 3}, "subject": "fixed"}
    message = Message({"role": "y", "sub": "forged", "exp": 1})
    (out,) = (await apply("jwt-sign", message, jwt=options))["out"]
    read = peer.decode(out.payload, SECRET, ["HS256"])
    assert (read["role"], read["line"], read["sub"]) == ("y", 3, "fixed")


@pytest.mark.parametrize(
    ("options", "header", "start"),
    [
        ({"to": "authorization"}, "authorization", "Bearer "),
        ({"to": "Authorization"}, "Authorization", "Bearer "),
        ({"to": "authorization", "prefix": ""}, "authorization", ""),
        ({"to": "token"}, "token", ""),
        ({"to": "token", "prefix": "Token "}, "token", "Token "),
    ],
)
async def test_a_token_may_go_into_a_header(
    apply: Any, options: Any, header: str, start: str
) -> None:
    message = Message({"sub": "s"}, headers={"old": 1})
    (out,) = (await apply("jwt-sign", message, jwt=HS, **options))["out"]
    assert out.payload == {"sub": "s"}
    assert out.headers["old"] == 1
    assert out.headers[header].startswith(start)
    token = out.headers[header].removeprefix(start)
    assert peer.decode(token, SECRET, ["HS256"])["sub"] == "s"


async def test_claims_may_come_from_a_header_or_from_nowhere(apply: Any) -> None:
    message = Message(b"any payload", headers={"claims": {"sub": "s"}})
    (out,) = (await apply("jwt-sign", message, **{"jwt": HS, "from": "claims", "to": "token"}))[
        "out"
    ]
    assert peer.decode(out.headers["token"], SECRET, ["HS256"])["sub"] == "s"
    assert out.payload == b"any payload"
    (out,) = (await apply("jwt-sign", message, **{"jwt": HS, "from": None, "to": "token"}))["out"]
    assert peer.decode(out.headers["token"], SECRET, ["HS256"]).keys() == {"iat", "exp"}


@pytest.mark.parametrize(
    ("message", "options", "text"),
    [
        (Message("text"), {}, "the payload has a value of type str, expected an object of claims"),
        (Message(None), {}, "the payload has nothing"),
        (Message([1]), {}, "the payload has a value of type list"),
        (Message({}), {"from": "claims"}, "the header claims has nothing"),
        (Message({"a": b"x"}), {}, "bytes is not JSON serializable"),
        (Message({"a": float("nan")}), {}, "no JSON form"),
    ],
)
async def test_what_is_no_object_of_claims_is_rejected(
    apply: Any, fault: Any, message: Message, options: Any, text: str
) -> None:
    found = fault(await apply("jwt-sign", message, jwt=HS, **options))
    assert found["code"] == "jwt.not_signable"
    assert text in found["text"]


@pytest.mark.parametrize("form", [str, str.encode, lambda token: bytearray(token.encode())])
async def test_a_token_becomes_its_claims(apply: Any, form: Any) -> None:
    message = Message(form(peer_token({"sub": "s", "n": 1.5})), "a/b", {"qos": 1})
    (out,) = (await apply("jwt-verify", message, jwt=HS))["out"]
    assert out.payload == {"sub": "s", "n": 1.5}
    assert (out.topic, dict(out.headers)) == ("a/b", {"qos": 1})


@pytest.mark.parametrize(
    ("headers", "options", "claims_in"),
    [
        ({"authorization": "Bearer TOKEN"}, {"from": "authorization"}, "claims"),
        ({"authorization": "bearer TOKEN"}, {"from": "authorization"}, "claims"),
        ({"Authorization": b"BEARER TOKEN"}, {"from": "Authorization", "to": "who"}, "who"),
        ({"token": "TOKEN"}, {"from": "token"}, "claims"),
        ({"token": "jwt:TOKEN"}, {"from": "token", "prefix": "JWT:"}, "claims"),
        ({"token": "TOKEN"}, {"from": "token", "to": "payload"}, None),
    ],
)
async def test_a_token_may_come_in_a_header(
    apply: Any, headers: Any, options: Any, claims_in: str | None
) -> None:
    token = peer_token({"sub": "s"})
    filled = {
        name: value.replace("TOKEN", token)
        if isinstance(value, str)
        else value.replace(b"TOKEN", token.encode())
        for name, value in headers.items()
    }
    (out,) = (await apply("jwt-verify", Message(b"data", headers=filled), jwt=HS, **options))["out"]
    if claims_in is None:
        assert out.payload == {"sub": "s"}
    else:
        assert out.payload == b"data"
        assert out.headers[claims_in] == {"sub": "s"}


async def test_the_claims_may_go_beside_a_payload(apply: Any) -> None:
    token = peer_token({"sub": "s"})
    (out,) = (await apply("jwt-verify", Message(token), jwt=HS, to="claims"))["out"]
    assert (out.payload, out.headers["claims"]) == (token, {"sub": "s"})


@pytest.mark.parametrize(
    ("message", "options", "text"),
    [
        (Message(None), {}, "the payload has nothing"),
        (Message({"a": 1}), {}, "the payload has a value of type dict"),
        (Message(""), {}, "the payload is empty"),
        (Message(1), {"from": "authorization"}, "the header authorization has nothing"),
        (Message(1, headers={"authorization": "Basic eA=="}), {"from": "authorization"}, 'does not begin with "bearer"'),
        (Message(1, headers={"authorization": "Bearer "}), {"from": "authorization"}, "is empty"),
        (Message(1, headers={"t": 5}), {"from": "t"}, "the header t has a value of type int"),
    ],
)  # fmt: skip
async def test_a_missing_token_is_rejected(
    apply: Any, fault: Any, message: Message, options: Any, text: str
) -> None:
    found = fault(await apply("jwt-verify", message, jwt=HS, **options))
    assert found["code"] == "jwt.no_token"
    assert text in found["text"]


def soon(seconds: float) -> int:
    return int(time.time() + seconds)


RS_KEY = {"algorithm": "RS256", "key": public_pem(RSA)}
REFUSED: list[tuple[str, Any]] = [
    ("jwt.expired", lambda: peer_token({"exp": soon(-60)}, "RS256")),
    ("jwt.not_yet_valid", lambda: peer_token({"nbf": soon(60)}, "RS256")),
    ("jwt.not_yet_valid", lambda: peer_token({"iat": soon(60)}, "RS256")),
    ("jwt.bad_signature", lambda: peer_token({}, "RS256", OTHER_RSA)),
    ("jwt.wrong_algorithm", lambda: forged({"alg": "none"}, {})),
    ("jwt.wrong_algorithm", lambda: forged({"alg": "HS256"}, {}, key=public_pem(RSA).encode())),
    ("jwt.wrong_algorithm", lambda: peer_token({}, "ES256")),
    ("jwt.wrong_audience", lambda: peer_token({"aud": "others"}, "RS256")),
    ("jwt.wrong_issuer", lambda: peer_token({"aud": "us", "iss": "others"}, "RS256")),
    ("jwt.wrong_subject", lambda: peer_token({"aud": "us", "iss": "i", "sub": "x"}, "RS256")),
    ("jwt.missing_claim", lambda: peer_token({"aud": "us", "iss": "i", "sub": "s"}, "RS256")),
    ("jwt.malformed", lambda: "no token"),
    ("jwt.malformed", lambda: b"\xff.\xff.\xff"),
    ("jwt.malformed", lambda: "ä.ö.ü"),
    ("jwt.malformed", lambda: peer_token({}, "RS256")[:-1]),
    ("jwt.too_large", lambda: "x" * 9000),
    ("jwt.critical_header", lambda: peer_token({}, "RS256", RSA, crit=["exp"])),
    ("jwt.no_token", lambda: {"token": "x"}),
]


@pytest.mark.parametrize(("code", "make"), REFUSED)
async def test_a_token_that_must_not_be_trusted_leaves_by_error(
    apply: Any, fault: Any, code: str, make: Any
) -> None:
    asked = {"issuer": "i", "subject": "s", "audience": "us", "required": ["exp"]}
    message = Message(make(), "a/b", {"qos": 1})
    results = await apply("jwt-verify", message, jwt={**RS_KEY, **asked})
    assert results["out"] == []
    assert fault(results)["code"] == code
    (rejected,) = results["error"]
    assert (rejected.payload, rejected.topic, rejected.headers["qos"]) == (
        message.payload,
        "a/b",
        1,
    )
    if isinstance(message.payload, str) and "." in message.payload:
        assert not any(part in str(fault(results)) for part in message.payload.split(".") if part)


async def test_one_refused_token_harms_no_other(apply: Any) -> None:
    good = [Message(peer_token({"n": n}, "RS256")) for n in range(3)]
    bad = [Message(peer_token({"n": n}, "RS256", OTHER_RSA)) for n in range(2)]
    mixed = [good[0], bad[0], good[1], bad[1], good[2]]
    results = await apply("jwt-verify", *mixed, jwt=RS_KEY)
    assert [message.payload["n"] for message in results["out"]] == [0, 1, 2]
    assert [m.headers["fault"]["code"] for m in results["error"]] == ["jwt.bad_signature"] * 2


def flow_of(sign: Any, verify: Any, values: list[Any]) -> dict[str, Any]:
    return {
        "nodes": {
            "in": {"type": "inject", "values": values, "count": len(values), "interval": 0},
            "sign": {"type": "jwt-sign", "jwt": sign, "to": "authorization"},
            "verify": {"type": "jwt-verify", "jwt": verify, "from": "authorization"},
            "out": {"type": "test-sink"},
            "refused": {"type": "test-sink"},
        },
        "wires": [
            ["in", "sign"],
            ["sign", "verify"],
            ["verify", "out"],
            ["verify.error", "refused"],
        ],
    }


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_a_whole_flow_signs_and_verifies(algorithm: str, tmp_path: Path) -> None:
    (tmp_path / "private.pem").write_text(private_pem(RSA, "of the key"))
    keys = {"keys": [jwk(OTHER_RSA.public_key(), kid="old"), jwk(RSA.public_key(), kid="new")]}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    common = {"algorithm": algorithm, "issuer": "edge", "audience": ["cloud", "archive"]}
    sign = {
        **common, "key": str(tmp_path / "private.pem"), "key_password": "of the key", "key_id": "new",
        "token_id": True, "not_before": True,
    }  # fmt: skip
    verify = {
        **common,
        "key": str(tmp_path / "keys.json"),
        "audience": "cloud",
        "required": ["exp", "jti"],
        "max_age": 60,
    }
    values: list[Any] = [{"speed": 40}, {"speed": 80}, {"exp": 1, "iss": "x"}]
    with trio.fail_after(20):
        async with run_flow(flow_of(sign, verify, values)) as flow:
            claims = [(await flow.get("out")).headers["claims"] for _ in values]
            assert [one.get("speed") for one in claims] == [40, 80, None]
            assert {one["iss"] for one in claims} == {"edge"}
            await flow.stop()
            ledger = flow.report()["ledger"]
            assert (ledger["confirmed"], ledger["rejected"]) == (3, 0)


async def test_a_whole_flow_refuses_what_another_key_signed() -> None:
    sign = {"algorithm": "ES256", "key": private_pem(P256)}
    verify = {"algorithm": "ES256", "key": jwk(P256.public_key()), "audience": "cloud"}
    with trio.fail_after(20):
        async with run_flow(flow_of(sign, verify, [{"a": 1}, {"aud": "cloud"}])) as flow:
            refused = await flow.get("refused")
            assert refused.headers["fault"]["code"] == "jwt.missing_claim"
            assert refused.payload == {"a": 1}
            assert (await flow.get("out")).headers["claims"]["aud"] == "cloud"
            await flow.stop()
            ledger = flow.report()["ledger"]
            assert (ledger["confirmed"], ledger["rejected"]) == (1, 1)


class Bomb(bytes):
    """A payload over which any node would stumble."""

    def __bytes__(self) -> bytes:
        raise RuntimeError("boom")


async def test_the_key_is_read_again_when_it_changed_and_at_every_start(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(public_pem(RSA))
    flow = {
        "nodes": {
            "in": {"type": "test-source"},
            "verify": {"type": "jwt-verify", "jwt": {"algorithm": "RS256", "key": str(path)}},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "verify"], ["verify", "out"]],
    }
    with trio.fail_after(10):
        async with run_flow(flow) as running:
            token = Message(peer_token({}, "RS256"))
            assert (await running.put("in", token)).outcome is Outcome.CONFIRMED
            path.unlink()
            assert (await running.put("in", token)).outcome is Outcome.CONFIRMED
            path.write_text(public_pem(OTHER_RSA))
            assert (await running.put("in", token)).code == "jwt.bad_signature"
            path.unlink()
            assert (await running.put("in", Message(Bomb()))).code == "flowbus.bug"
            status = await running.wait_state("verify", State.FAILED)
            assert status.code == "jwt.key_not_found"
            assert str(path) in status.text
            assert (await running.put("in", token)).code == "jwt.key_not_found"


def test_without_joserfc_just_these_types_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    monkeypatch.delitem(sys.modules, "flowbus_core_nodes.tokens", raising=False)
    registry = plugins.installed()
    for name in ("jwt-sign", "jwt-verify"):
        assert registry.nodes.get(name) is None
        assert "joserfc" in registry.failed[name].reason
        assert registry.failed[name].install == "pip install joserfc"
    assert registry.nodes.get("map") is not None
    assert registry.failed.keys() == {"jwt-sign", "jwt-verify"}


def test_a_token_by_hand_is_what_it_should_be() -> None:
    """The forger of the tests forges well: the right key would have been accepted."""
    token = forged({"alg": "HS256", "typ": "JWT"}, {"a": 1}, key=SECRET.encode())
    assert peer.decode(token, SECRET, ["HS256"]) == {"a": 1}
    assert unpadded(b"\xff\xfe") == "__4"
