"""Whom a websocket-server lets in by its rules."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flowbus.testing import run_flow
from tests.system.websocket_peers import (
    asked,
    connected,
    details,
    faults,
    flow_of,
    port_of,
    serving,
)

pytestmark = pytest.mark.system


ORIGINS = {"origins": ["https://panel.example", "https://*.plant.example"]}


@pytest.mark.parametrize(
    ("rules", "path", "options", "status"),
    [
        ({"paths": ["/live", "/line/*"]}, "/live?a=b", {}, 101),
        ({"paths": ["/live", "/line/*"]}, "/line/3/x", {}, 101),
        ({"paths": ["/live", "/line/*"]}, "/live/", {}, 404),
        (ORIGINS, "/", {"origin": "https://panel.example"}, 101),
        (ORIGINS, "/", {"origin": "https://A.Plant.example"}, 101),
        (ORIGINS, "/", {"origin": "http://panel.example"}, 403),
        (ORIGINS, "/", {"origin": "https://panel.example.evil"}, 403),
        (ORIGINS, "/", {}, 403),
        ({"origins": ["https://panel.example", ""]}, "/", {}, 101),
        ({"hosts": ["127.0.0.1"]}, "/", {}, 101),
        ({"hosts": ["plc.example"]}, "/", {}, 421),
        ({"require_headers": {"X-Key": "gehäim"}}, "/", {"headers": {"X-Key": "gehäim"}}, 101),
        ({"require_headers": {"X-Key": "gehäim"}}, "/", {"headers": {"X-Key": "x"}}, 403),
        ({"require_headers": {"X-Key": "*"}}, "/", {"headers": {"x-key": "any"}}, 101),
        ({"require_headers": {"X-Key": "*"}}, "/", {}, 403),
        ({"subprotocols": ["a"], "require_subprotocol": True}, "/", {}, 400),
        ({"subprotocols": ["a"], "require_subprotocol": True}, "/", {"subprotocols": ["b"]}, 400),
        ({"subprotocols": ["a"], "require_subprotocol": True}, "/", {"subprotocols": ["b", "a"]}, 101),
    ],
)  # fmt: skip
async def test_rules(
    rules: dict[str, Any], path: str, options: dict[str, Any], status: int
) -> None:
    async with serving(accept=rules) as (flow, port):
        response = await asked(port, path, **options)
        assert response.status_code == status
        if status == 101:
            assert (await flow.get("events")).payload["event"] == "connected"
        else:
            assert response.headers["Connection"] == "close"
            await trio.testing.wait_all_tasks_blocked()
            assert not flow.got("events")


async def test_each_rule_has_its_fault() -> None:
    rules = {
        "hosts": ["127.0.0.1:*"],
        "paths": ["/p"],
        "origins": [""],
        "require_headers": {"X-Key": "k"},
        "subprotocols": ["a"],
        "require_subprotocol": True,
    }
    requests: list[tuple[str, dict[str, Any]]] = [
        ("ws.wrong_path", {"path": "/other"}),
        ("ws.origin_refused", {"path": "/p", "origin": "https://evil.example"}),
        ("ws.header_refused", {"path": "/p"}),
        ("ws.subprotocol_refused", {"path": "/p", "headers": {"X-Key": "k"}}),
    ]
    async with serving(accept=rules) as (flow, port):
        for _, options in requests:
            await asked(port, **options)
        while details(flow)["refused"] < len(requests):
            await trio.sleep(0.01)
        assert details(flow)["refused_by"] == {code: 1 for code, _ in requests}
        assert await faults(flow, len(requests)) == {code: 1 for code, _ in requests}


async def test_refusals_and_answers_have_the_headers_of_the_rules() -> None:
    rules = {
        "paths": ["/p"],
        "response_headers": {"X-Server": "one", "Strict-Transport-Security": "max-age=1"},
        "refusals": {
            "paths": {"status": 307, "headers": {"Location": "/p", "X-Server": "two"}},
        },
    }
    async with serving(accept=rules) as (_flow, port):
        taken = await asked(port, "/p")
        assert (taken.status_code, taken.headers["X-Server"]) == (101, "one")
        assert taken.headers["Strict-Transport-Security"] == "max-age=1"
        answer = await raw_answer(port, b"/q")
        assert answer.startswith(b"HTTP/1.1 307 Temporary Redirect\r\n")
        assert b"\r\nLocation: /p\r\n" in answer
        assert b"\r\nX-Server: two\r\n" in answer
        assert b"X-Server: one" not in answer


async def raw_answer(port: int, path: bytes) -> bytes:
    request = (
        b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        answer = b""
        async for chunk in stream:
            answer += chunk
        return answer


async def test_the_subprotocol_that_the_server_likes_best_is_chosen_and_shown() -> None:
    async with (
        serving(accept={"subprotocols": ["b", "a"]}) as (flow, port),
        connected(port, subprotocols=["x", "a", "b"]) as peer,
    ):
        assert peer.connection.subprotocol == "b"
        assert (await flow.get("events")).payload["subprotocol"] == "b"
        assert details(flow)["connections"][0]["subprotocol"] == "b"


async def test_path_is_a_rule_beside_the_others() -> None:
    async with serving(path="/p", accept={"subprotocols": ["a"]}) as (_flow, port):
        assert (await asked(port, "/q", subprotocols=["a"])).status_code == 404
        assert (await asked(port, "/p", subprotocols=["a"])).status_code == 101


# ---- bearer_jwt, with tokens of PyJWT

SECRET = "a secret of 32 bytes, or a few more"
DEMANDS = {
    "algorithm": "HS256",
    "secret": SECRET,
    "issuer": "plant",
    "audience": "line",
    "required": ["exp"],
}


def token(secret: str = SECRET, **claims: Any) -> str:
    claims = {"iss": "plant", "aud": "line", "exp": time.time() + 3600, **claims}
    return jwt.encode(claims, secret, "HS256")


async def test_a_token_lets_in_and_its_claims_are_shown() -> None:
    bearer = {"Authorization": f"Bearer {token(sub='panel 7', role='operator')}"}
    async with (
        serving(accept={"bearer_jwt": DEMANDS}) as (flow, port),
        connected(port, additional_headers=bearer) as peer,
    ):
        event = (await flow.get("events")).payload
        assert (event["claims"]["sub"], event["claims"]["role"]) == ("panel 7", "operator")
        await peer.send("x")
        assert (await flow.get("out")).headers["claims"] == event["claims"]
        assert bearer["Authorization"] not in str(details(flow))
        assert details(flow)["connections"][0]["headers"]["authorization"] == "***"


@pytest.mark.parametrize(
    ("authorization", "error", "code"),
    [
        (None, None, "ws.token_missing"),
        ("Basic dTpw", None, "ws.token_missing"),
        ("Bearer", "invalid_token", "jwt.malformed"),
        ("Bearer a.b", "invalid_token", "jwt.malformed"),
        (f"Bearer {token(exp=time.time() - 60)}", "invalid_token", "jwt.expired"),
        (f"Bearer {token(aud='another')}", "invalid_token", "jwt.wrong_audience"),
        (f"Bearer {token('another secret of 32 bytes or more')}", "invalid_token", "jwt.bad_signature"),
    ],
)  # fmt: skip
async def test_without_a_good_token_it_is_401_with_a_challenge(
    authorization: str | None, error: str | None, code: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with serving(accept={"bearer_jwt": DEMANDS}) as (flow, port):
        response = await asked(port, headers=headers)
        assert response.status_code == 401
        challenge = response.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="flowbus"')
        parameters = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        assert parameters.get("error") == error  # RFC 6750, section 3.1
        assert bool(parameters.get("error_description")) == bool(error)
        told = f"{challenge} {response.body!r}"
        assert DEMANDS["audience"] not in told  # what is expected is not for who does not have it
        while not details(flow)["refused"]:
            await trio.sleep(0.01)
        assert details(flow)["refused_by"] == {code: 1}


async def test_a_key_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key.write_bytes(pem)
    value = flow_of(accept={"bearer_jwt": {"algorithm": "ES256", "key": str(key)}})
    with trio.fail_after(20):
        async with run_flow(value) as flow:
            key.unlink()
            status = await flow.wait_code("ws", "jwt.key_not_found")
            assert "key.pem" in status.text
            key.write_bytes(pem)
            await flow.wait_running()
            bearer = {"Authorization": f"Bearer {jwt.encode({'a': 1}, private, 'ES256')}"}
            assert (await asked(port_of(flow), headers=bearer)).status_code == 101
