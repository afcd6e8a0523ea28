"""Every fault of a websocket-client that a peer can provoke, TLS apart, by a peer that does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from flowbus_websocket.protocol.codes import REASONS
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from flowbus import Message, Outcome, State
from flowbus.testing import run_flow
from tests.system.peers import free_port
from tests.system.provoked import provoked, row_of
from tests.system.raw_websocket import (
    Talk,
    answers,
    opening,
    opens,
    opens_and_resets,
    reset,
    resets,
    sends,
    status,
)
from tests.system.websocket_servers import echo, flow_of, listening, serving

pytestmark = pytest.mark.system

REFUSALS: list[tuple[Talk, str, str, int, str]] = [
    (status(401), "authentication_refused", "SOCK_ERR_AUTH", 11, "401"),
    (status(403), "access_denied", "SOCK_ERRACL_DENIED", 12, "403"),
    (status(407), "proxy_error", "SOCK_ERR_PROXY", 16, "407"),
    (answers(b"SSH-2.0-OpenSSH\r\n\r\n"), "response_parse_error", "CONNECT_RES_PARSE_ERROR", 1003, ""),
    (answers(b"\x00" * 70_000), "response_parse_error", "CONNECT_RES_PARSE_ERROR", 1003, ""),
    (
        answers(b"HTTP/1.1 101 x\r\n" + b"a: b\r\n" * 20_000),
        "response_parse_error", "CONNECT_RES_PARSE_ERROR", 1003, "",
    ),
    (opening(without="upgrade"), "response_invalid", "CONNECT_RES_INVALID", 1004, "no Upgrade"),
    (
        opening("Upgrade: h2c", without="upgrade"),
        "response_invalid", "CONNECT_RES_INVALID", 1004, "no Upgrade: websocket",
    ),
    (opening(without="connection"), "response_invalid", "CONNECT_RES_INVALID", 1004, "no Connection"),
    (
        opening("Connection: keep-alive", without="connection"),
        "response_invalid", "CONNECT_RES_INVALID", 1004, "no Connection: Upgrade",
    ),
    (status(200), "response_status", "CONNECT_RES_INVALID_STATUS", 1005, "200"),
    (status(301, "Moved"), "response_status", "CONNECT_RES_INVALID_STATUS", 1005, "301 Moved"),
    (status(404), "response_status", "CONNECT_RES_INVALID_STATUS", 1005, "404"),
    (status(503), "response_status", "CONNECT_RES_INVALID_STATUS", 1005, "503"),
    (opening(without="accept"), "accept_missing", "CONNECT_RES_ACCEPT_INVALID", 1006, "no Sec-"),
    (
        opening("Sec-WebSocket-Accept: aGVsbG8=", without="accept"),
        "accept_invalid", "CONNECT_RES_ACCEPT_INVALID_HASH", 1007, "our key",
    ),
    (
        opening("Sec-WebSocket-Extensions: x-webkit-deflate-frame"),
        "extension_invalid", "CONNECT_RES_INVALID_EXTENSION", 1008, "x-webkit-deflate-frame",
    ),
    (
        opening("Sec-WebSocket-Extensions: permessage-deflate"),
        "extension_invalid", "CONNECT_RES_INVALID_EXTENSION", 1008, "permessage-deflate",
    ),
    (
        opening("Sec-WebSocket-Protocol: other"),
        "subprotocol_refused", "CONNECT_RES_REJECT", 1009, "'other', which was not offered",
    ),
    (answers(b""), "connection_lost", "SOCK_CONN_LOST", 7, "before it answered"),
    (resets, "connection_lost", "SOCK_CONN_LOST", 7, "reset"),
    (opens_and_resets, "connection_lost", "SOCK_CONN_LOST", 7, "reset"),
    (sends(b"\x81\x80\x00\x00\x00\x00"), "protocol_error", "PROTOCOL_ERROR", 1014, "masked"),
    (sends(b"\x83\x00"), "protocol_error", "PROTOCOL_ERROR", 1014, "opcode 3"),
    (sends(b"\xc1\x00"), "protocol_error", "PROTOCOL_ERROR", 1014, "reserved bit"),
    (sends(b"\x80\x00"), "protocol_error", "PROTOCOL_ERROR", 1014, "continuation"),
    (sends(b"\x09\x00"), "protocol_error", "PROTOCOL_ERROR", 1014, "control frame"),
    (sends(b"\x89\x7e\x00\x7e" + b"x" * 126), "protocol_error", "PROTOCOL_ERROR", 1014, "125"),
    (sends(b"\x81\x7e\x00\x05hello"), "protocol_error", "PROTOCOL_ERROR", 1014, "shortest"),
    (sends(b"HTTP/1.1 200 OK\r\n\r\n"), "protocol_error", "PROTOCOL_ERROR", 1014, "reserved bit"),
]  # fmt: skip


@pytest.mark.parametrize(("talk", "name", "source", "number", "text"), REFUSALS)
async def test_a_peer_that_opens_no_websocket_or_breaks_it(
    talk: Talk, name: str, source: str, number: int, text: str
) -> None:
    with trio.fail_after(20), listening(talk) as port:
        async with run_flow(flow_of(port, close_timeout=0.2)) as flow:
            flow.put_soon("in", Message("x"))  # some wait for a word of the client
            assert text in await provoked(flow, f"ws.{name}", source, number)


async def test_refusals_of_the_websockets_library() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(int(request.path[1:]), "no\n")

    codes = {401: "ws.authentication_refused", 403: "ws.access_denied", 503: "ws.response_status"}
    with trio.fail_after(20), serving(echo, process_request=refuse) as port:
        for number, code in codes.items():
            async with run_flow(flow_of(port, path=f"/{number}")) as flow:
                found = await flow.wait_code("ws", code)
                assert (found.state, str(number) in found.text) == (State.WAITING, True)


async def test_nothing_listens_on_the_port() -> None:
    port = free_port()
    with trio.fail_after(20):
        async with run_flow(flow_of(port)) as flow:
            text = await provoked(flow, "ws.connection_refused", "SOCK_CONN_REFUSED", 5)
    assert f"127.0.0.1:{port}" in text


async def test_without_a_connection_nothing_can_be_sent() -> None:
    row_of("ws.not_connected", "SOCK_NO_CONN", 4)
    with trio.fail_after(20):
        async with run_flow(flow_of(free_port())) as flow:
            await flow.put("in", Message(None, headers={"command": "close"}))
            end = await flow.put("in", Message("x"))
    assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.not_connected")


async def test_a_server_that_takes_no_connection_times_out() -> None:
    with socket.socket() as full, trio.fail_after(30), contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # fill the backlog: then the system drops what asks to connect
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        async with run_flow(flow_of(port, connect_timeout=0.3)) as flow:
            text = await provoked(flow, "ws.connect_timed_out", "SOCK_CONN_TIMEDOUT", 38)
    assert "0.3 s" in text


async def test_a_server_that_resets_while_the_request_is_sent() -> None:
    def resets_at_once(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    options = {"headers": {"X-Large": "x" * 8_000_000}}  # more than the system's buffers take
    with trio.fail_after(20), listening(resets_at_once) as port:
        async with run_flow(flow_of(port, **options)) as flow:
            await provoked(flow, "ws.request_send_error", "CONNECT_REQ_SEND_ERROR", 1002)


async def test_a_subprotocol_that_is_required_and_not_chosen() -> None:
    options: dict[str, Any] = {"subprotocols": ["a", "b"], "require_subprotocol": True}
    with trio.fail_after(20), serving(echo) as port:
        async with run_flow(flow_of(port, **options)) as flow:
            text = await provoked(flow, "ws.subprotocol_refused", "CONNECT_RES_REJECT", 1009)
    assert "none of a, b" in text


@contextlib.contextmanager
def silent(talk: Talk) -> Iterator[int]:
    """A peer that goes silent after ``talk``, and keeps the connection open."""
    release = threading.Event()

    def and_wait(connection: socket.socket) -> None:
        talk(connection)
        release.wait(15)

    with listening(and_wait) as port:
        try:
            yield port
        finally:
            release.set()


async def test_a_server_that_does_not_answer_the_request() -> None:
    with trio.fail_after(20), silent(lambda connection: None) as port:
        async with run_flow(flow_of(port, response_timeout=0.2)) as flow:
            text = await provoked(flow, "ws.response_timed_out", "CONNECT_RES_TIMEDOUT", 1010)
    assert "0.2 s" in text


async def test_a_server_that_answers_a_byte_now_and_then_is_bounded_too() -> None:
    def slowly(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 10:
            connection.send(bytes([byte]))
            threading.Event().wait(0.02)

    with trio.fail_after(20), listening(slowly) as port:
        async with run_flow(flow_of(port, response_timeout=0.3)) as flow:
            await provoked(flow, "ws.response_timed_out", "CONNECT_RES_TIMEDOUT", 1010)


async def test_a_peer_that_does_not_answer_pings_is_given_up() -> None:
    options = {"keepalive_interval": 0.2, "keepalive_timeout": 0.2, "close_timeout": 0.2}
    with trio.fail_after(20), silent(opens) as port:
        async with run_flow(flow_of(port, **options)) as flow:
            text = await provoked(flow, "ws.keepalive_timed_out", "KEEP_ALIVE_TIMEDOUT", 1011)
    assert "0.2 s" in text


@pytest.mark.parametrize("limit", ["max_receive_message", "max_receive_frame"])
async def test_what_is_too_big_is_closed_with_1009(limit: str) -> None:
    codes: list[int | None] = []

    def sends_more(connection: ServerConnection) -> None:
        connection.send("x" * 1001)
        with contextlib.suppress(ConnectionClosed):
            connection.recv(5)
        codes.append(connection.close_code)

    with trio.fail_after(20), serving(sends_more) as port:
        async with run_flow(flow_of(port, **{limit: 1000})) as flow:
            text = await provoked(flow, "ws.message_too_big", "INVALID_MSG_SIZE", 1013)
    assert "1009" in text
    assert codes[0] == 1009


# ---- close codes


@pytest.mark.parametrize("code", [*REASONS, 3000, 3999, 4000, 4321, 4999])
async def test_every_close_code_of_a_server_becomes_its_fault(code: int) -> None:
    reason = f"because of {code}"

    def goodbye(connection: ServerConnection) -> None:
        connection.recv()
        connection.close(code, reason)

    def hangs_up(connection: socket.socket) -> None:
        opens(connection)
        connection.recv(64)

    by_hand = {
        1004: sends(b"\x88\x02\x03\xec"),
        1005: sends(b"\x88\x00"),
        1006: hangs_up,
        1015: sends(b"\x88\x02\x03\xf7"),
    }
    peer = listening(by_hand[code]) if code in by_hand else serving(goodbye)
    expected = {1004: "ws.protocol_error", 1015: "ws.protocol_error"}.get(code, f"ws.{code}")
    with trio.fail_after(20), peer as port:
        async with run_flow(flow_of(port, close_timeout=0.2)) as flow:
            flow.put_soon("in", Message("x"))
            found = await flow.wait_code("ws", expected)
            assert found.state is State.WAITING
            if code not in by_hand:
                assert f"{code} {reason}" in found.text
    if code in REASONS:
        assert row_of(f"ws.{code}", "", code).name == REASONS[code]


async def test_a_reason_may_be_long_and_in_any_script() -> None:
    def goodbye(connection: ServerConnection) -> None:
        connection.close(1011, "Störung → 停止 " + "ä" * 50)

    with trio.fail_after(20), serving(goodbye) as port:
        async with run_flow(flow_of(port)) as flow:
            assert "停止 ää" in (await flow.wait_code("ws", "ws.1011")).text


# ---- garbage


@pytest.mark.parametrize("seed", range(8))
async def test_garbage_after_the_handshake_ends_in_a_fault_and_never_in_a_bug(seed: int) -> None:
    garbage = hashlib.shake_128(bytes([seed])).digest(5000)

    def talk(connection: socket.socket) -> None:
        opens(connection)
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    with trio.fail_after(20), listening(talk) as port:
        async with run_flow(flow_of(port)) as flow:
            found = await flow.wait_state("ws", State.WAITING)
            assert found.code.startswith("ws.")


async def test_frames_that_come_a_byte_at_a_time() -> None:
    payload = json.dumps({"value": "ä" * 100}).encode()
    frames = (
        b"\x01\x03\xe2\x82\xac\x89\x01p\x80\x01!" + b"\x82\x7e" + len(payload).to_bytes(2) + payload
    )

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opens(connection)
        for byte in frames:
            connection.send(bytes([byte]))
        connection.recv(4096)

    with trio.fail_after(20), silent(talk) as port:
        async with run_flow(flow_of(port)) as flow:
            assert (await flow.get("out")).payload == "€!"
            assert (await flow.get("out")).payload == payload


async def test_a_server_that_says_goodbye_and_keeps_the_connection_open_is_left() -> None:
    def talk(connection: socket.socket) -> None:
        opens(connection)
        connection.sendall(b"\x88\x02\x03\xe8")

    with trio.fail_after(20), silent(talk) as port:
        async with run_flow(flow_of(port, close_timeout=0.2)) as flow:
            await flow.wait_code("ws", "ws.1000")
