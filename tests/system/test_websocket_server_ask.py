"""``accept: "ask"``: the flow decides whom a websocket-server lets in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow
from tests.system.websocket_peers import asked, details, faults, flow_of, port_of

pytestmark = pytest.mark.system


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
