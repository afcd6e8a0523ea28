"""Whom a websocket-server lets in, by rules and by the flow's own decision."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect as connect_sync

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow
from tests.system.websocket_peers import (
    connected,
    details,
    faults,
    flow_of,
    in_thread,
    port_of,
    serving,
)

pytestmark = pytest.mark.system


def handshake(port: int, path: str = "/", **options: Any) -> Response:
    """Return the server's answer to the request, whatever it is."""
    headers = options.pop("headers", {})
    try:
        with connect_sync(
            f"ws://127.0.0.1:{port}{path}", additional_headers=headers, **options
        ) as peer:
            assert peer.response is not None
            return peer.response
    except InvalidStatus as error:
        return error.response


async def asked(port: int, path: str = "/", **options: Any) -> Response:
    return await in_thread(handshake, port, path, **options)


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


# ---- accept "ask"


@asynccontextmanager
async def asking(answer: str = "", **options: Any) -> AsyncIterator[tuple[Flow, int]]:
    """Serve with ``accept: "ask"``; ``answer`` is the payload of a map that answers, if given."""
    value = flow_of(accept="ask", **options)
    value["nodes"]["requests"] = {"type": "test-sink"}
    value["wires"].append(["ws.request", "requests"])
    if answer:
        value["nodes"]["answer"] = {"type": "map", "payload": answer}
        value["wires"] += [["ws.request", "answer"], ["answer", "ws"]]
    with trio.fail_after(30):
        async with run_flow(value) as flow:
            await flow.wait_running("ws")
            yield flow, port_of(flow)


async def test_the_flow_sees_the_request_and_lets_in() -> None:
    answer = "{'accept': true, 'subprotocol': payload.subprotocols[1], 'headers': {'X-A': 'b'}}"
    secrets = {"Authorization": "Basic abc", "X-Token": "t", "X-Line": "3"}
    async with asking(answer, show_headers=["Authorization"]) as (flow, port):
        response = await asked(
            port, "/p?token=q", subprotocols=["a", "b"], origin="http://o", headers=secrets
        )
        assert response.status_code == 101
        assert response.headers["X-A"] == "b"
        assert response.headers["Sec-WebSocket-Protocol"] == "b"
        request = (await flow.get("requests")).payload
        event = (await flow.get("events")).payload
        assert (event["event"], event["subprotocol"]) == ("connected", "b")
        assert request["uri"] == "/p?token=q"
        assert request["host"] == f"127.0.0.1:{port}"
        assert (request["origin"], request["subprotocols"]) == ("http://o", ["a", "b"])
        assert request["extensions"][0].startswith("permessage-deflate")
        assert request["remote"] == event["remote"]
        headers = request["headers"]
        assert (headers["authorization"], headers["x-token"]) == ("Basic abc", "***")
        assert headers["x-line"] == "3"


async def test_the_flow_refuses_with_status_headers_and_reason() -> None:
    answer = "{'accept': false, 'status': 429, 'headers': {'Retry-After': '7'}, 'reason': 'later'}"
    async with asking(answer) as (flow, port):
        response = await asked(port)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
        assert b"later" in (response.body or b"")
        while not details(flow)["refused"]:
            await trio.sleep(0.01)
        assert details(flow)["refused_by"] == {"ws.request_refused": 1}


async def test_true_and_false_are_answers_too() -> None:
    async with asking("payload.uri = '/yes'") as (_flow, port):
        assert (await asked(port, "/yes")).status_code == 101
        assert (await asked(port, "/no")).status_code == 403


async def test_nobody_answers() -> None:
    async with asking(ask_timeout=0.2) as (flow, port):
        response = await asked(port)
        assert response.status_code == 503
        name = (await flow.get("requests")).payload["request"]
        end = await flow.put("in", Message(True, headers={"request": name}))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.unknown_request")
        assert await faults(flow, 2) == {"ws.ask_timed_out": 1, "ws.unknown_request": 1}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("yes", "true, false or an object"),
        ({}, "missing required field `accept`"),
        ({"accept": "yes"}, "Expected `bool`"),
        ({"accept": True, "x": 1}, "unknown field `x`"),
        ({"accept": False, "status": 200}, "200 does not refuse"),
        ({"accept": True, "headers": {"Upgrade": "x"}}, "Upgrade belongs to the handshake"),
        ({"accept": True, "headers": {"X": "a\nb"}}, "control characters"),
        ({"accept": True, "subprotocol": "z"}, "does not offer the subprotocol 'z'"),
    ],
)
async def test_what_is_no_answer_is_rejected_and_the_request_waits_on(
    payload: Any, text: str
) -> None:
    async with asking(ask_timeout=20) as (flow, port):
        async with trio.open_nursery() as nursery:
            statuses: list[int] = []

            async def ask() -> None:
                statuses.append((await asked(port)).status_code)

            nursery.start_soon(ask)
            request = await flow.get("requests")
            end = await flow.put("in", request.with_payload(payload))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.bad_answer")
            assert text in end.text
            assert (await flow.put("in", request.with_payload(True))).outcome is Outcome.CONFIRMED
        assert statuses == [101]


async def test_two_requests_at_once_are_not_confused() -> None:
    async with asking() as (flow, port), trio.open_nursery() as nursery:
        statuses: dict[str, int] = {}

        async def ask(path: str) -> None:
            statuses[path] = (await asked(port, path)).status_code

        for path in ("/a", "/b", "/c"):
            nursery.start_soon(ask, path)
        requests = [await flow.get("requests") for _ in range(3)]
        for request in reversed(requests):
            await flow.put("in", request.with_payload(request.payload["uri"] == "/b"))
        while len(statuses) < 3:
            await trio.sleep(0.01)
        assert statuses == {"/a": 403, "/b": 101, "/c": 403}
        assert json.dumps(details(flow)["refused_by"]) == '{"ws.request_refused": 2}'
