"""Compression and fragments of the client, with the websockets library at the other end."""

from __future__ import annotations

import json
import os
import socket
import threading
import zlib
from typing import Any

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.sync.server import ServerConnection

from flowbus import Message, Outcome, State
from flowbus.report import live
from flowbus.testing import Flow, run_flow
from tests.system.provoked import provoked
from tests.system.raw_websocket import opens
from tests.system.websocket_servers import echo, flow_of, listening, serving

pytestmark = pytest.mark.system

VALUES = json.dumps([{"symbol": f"MAIN.rValue{number}", "value": number} for number in range(500)])
NOISE = os.urandom(20_000)


def connection_of(flow: Flow) -> dict[str, Any]:
    report = live(flow.runtime.parts, flow.report())
    shown: dict[str, Any] = report["nodes"]["ws"]["details"]["connection"]
    return shown


async def echoed(flow: Flow, *messages: Message) -> int:
    """Have messages echoed; return how many bytes the client sent for them."""
    before = connection_of(flow)["bytes_out"]
    for message in messages:
        assert (await flow.put("in", message)).outcome is Outcome.CONFIRMED
        assert (await flow.get("out")).payload == message.payload
    return int(connection_of(flow)["bytes_out"] - before)


# ---- compression

FACTORIES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "small windows": {"server_max_window_bits": 9, "client_max_window_bits": 9},
    "no takeover": {"server_no_context_takeover": True, "client_no_context_takeover": True},
}
OPTIONS: dict[str, Any] = {
    "on": True,
    "windows": {"server_max_window_bits": 10, "client_max_window_bits": 12, "level": 9},
    "no takeover": {"server_no_context_takeover": True, "client_no_context_takeover": True},
}


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("option", OPTIONS)
async def test_messages_are_compressed_as_both_sides_agree(factory: str, option: str) -> None:
    extension = ServerPerMessageDeflateFactory(**FACTORIES[factory])
    peer = serving(echo, extensions=[extension])
    with trio.fail_after(20), peer as port:
        async with run_flow(flow_of(port, compression=OPTIONS[option])) as flow:
            await flow.wait_running("ws")
            agreed = connection_of(flow)["compression"]
            assert agreed["client_no_context_takeover"] is ("no takeover" in (factory, option))
            sent = await echoed(flow, *[Message(VALUES)] * 3, Message(NOISE), Message("short"))
            assert len(NOISE) < sent < len(NOISE) + len(VALUES)
            await flow.stop()
    assert flow.report()["nodes"]["ws"]["restarts"] == 0


async def test_compression_is_off_unless_asked_for() -> None:
    with trio.fail_after(20), serving(echo, compression="deflate") as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            assert connection_of(flow)["compression"] is None
            assert await echoed(flow, Message(VALUES)) > len(VALUES)


async def test_a_server_without_compression_is_talked_to_without() -> None:
    with trio.fail_after(20), serving(echo) as port:
        async with run_flow(flow_of(port, compression=True)) as flow:
            await flow.wait_running("ws")
            assert connection_of(flow)["compression"] is None
            assert await echoed(flow, Message(VALUES, headers={"compress": True})) > len(VALUES)


async def test_a_message_decides_for_itself_and_small_ones_go_as_they_are() -> None:
    small = "x" * 500
    with trio.fail_after(20), serving(echo, compression="deflate") as port:
        async with run_flow(flow_of(port, compression=True, compress_min=1000)) as flow:
            await flow.wait_running("ws")
            assert await echoed(flow, Message(VALUES)) < len(VALUES) // 2
            assert await echoed(flow, Message(VALUES, headers={"compress": False})) > len(VALUES)
            assert await echoed(flow, Message(small)) > len(small)
            assert await echoed(flow, Message(small, headers={"compress": True})) < 100
            end = await flow.put("in", Message("x", headers={"compress": "yes"}))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.bad_payload")


def compressed(payload: bytes) -> bytes:
    """One frame of compressed text (RFC 7692, section 7.2.1), made with zlib alone."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2)
    return b"\xc1" + size + data


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.mark.parametrize(
    ("frame", "name", "source", "number"),
    [
        (b"\xc1\x04\xff\xff\xff\xff", "decompress_error", "DECOMPRESS_ERROR", 1016),
        (compressed(b"0" * 10_000_000), "message_too_big", "INVALID_MSG_SIZE", 1013),
        (b"\x41\x03abc\xc0\x03abc", "protocol_error", "PROTOCOL_ERROR", 1014),
        (b"\xc9\x00", "protocol_error", "PROTOCOL_ERROR", 1014),
    ],
)
async def test_compressed_data_that_is_broken_or_too_much(
    frame: bytes, name: str, source: str, number: int
) -> None:
    def talk(connection: socket.socket) -> None:
        opens(connection, DEFLATE)
        connection.sendall(compressed(b"before " * 100) + frame)
        while connection.recv(4096):
            pass

    with trio.fail_after(20), listening(talk) as port:
        async with run_flow(flow_of(port, compression=True, close_timeout=0.2)) as flow:
            assert (await flow.get("out")).payload == "before " * 100
            await provoked(flow, f"ws.{name}", source, number)


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; unheard_of",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; server_no_context_takeover=1",
    ],
)
async def test_an_answer_that_was_not_offered_is_refused(answer: str) -> None:
    def talk(connection: socket.socket) -> None:
        opens(connection, f"Sec-WebSocket-Extensions: {answer}")
        connection.recv(4096)

    with trio.fail_after(20), listening(talk) as port:
        async with run_flow(flow_of(port, compression=True)) as flow:
            await provoked(flow, "ws.extension_invalid", "CONNECT_RES_INVALID_EXTENSION", 1008)


# ---- fragments


async def test_a_message_is_sent_in_fragments() -> None:
    def in_pieces(connection: ServerConnection) -> None:
        while True:
            try:
                pieces = list(connection.recv_streaming())
            except ConnectionClosed:
                return
            connection.send(json.dumps([p if isinstance(p, str) else p.hex() for p in pieces]))

    with trio.fail_after(20), serving(in_pieces) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            for payload in ("one ", "two ", "three"):
                more = Message(payload, headers={"final": payload == "three"})
                assert (await flow.put("in", more)).outcome is Outcome.CONFIRMED
            assert json.loads((await flow.get("out")).payload) == ["one ", "two ", "three"]
            flow.put_soon("in", Message(b"\x01", headers={"final": False}))
            ping = Message("between", headers={"content_type": "ping"})
            assert (await flow.put("in", ping)).outcome is Outcome.CONFIRMED
            end = await flow.put("in", Message("a whole one"))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.out_of_order")
            flow.put_soon("in", Message(b"\x02", headers={"final": True}))
            assert json.loads((await flow.get("out")).payload) == ["01", "02"]
            flow.put_soon("in", Message("whole"))
            assert json.loads((await flow.get("out")).payload) == ["whole"]


async def test_fragments_are_delivered_as_they_come() -> None:
    received = threading.Semaphore(0)

    def piece_by_piece(connection: ServerConnection) -> None:
        def pieces() -> Any:
            for piece in ("a", "ä", "€"):
                yield piece
                assert received.acquire(timeout=5)

        connection.send(pieces())
        connection.send(b"whole")
        connection.recv()

    with trio.fail_after(20), serving(piece_by_piece) as port:
        async with run_flow(flow_of(port, deliver="fragment")) as flow:
            got = []
            for _ in range(3):
                got.append(await flow.get("out"))
                received.release()
            while not got[-1].headers["final"]:
                got.append(await flow.get("out"))
            last = await flow.get("out")
    assert "".join(message.payload for message in got) == "aä€"
    assert [message.headers["final"] for message in got[:3]] == [False] * 3
    assert (last.payload, last.headers) == (b"whole", {"content_type": "binary", "final": True})


async def test_fragments_keep_to_the_connection_on_which_they_began() -> None:
    got: list[str | bytes] = []

    def keep(connection: ServerConnection) -> None:
        got.extend(connection)

    with trio.fail_after(20), serving(keep) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            flow.put_soon("in", Message("lost ", headers={"final": False}))
            for name in ("close", "connect"):
                await flow.put("in", Message(None, headers={"command": name}))
            await flow.wait_state("ws", State.RUNNING)
            for final in (False, True):
                end = await flow.put("in", Message("rest", headers={"final": final}))
                assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.out_of_order")
            flow.put_soon("in", Message("a", headers={"final": False}))
            flow.put_soon("in", Message("b", headers={"final": True}))
            await flow.put("in", Message("c"))
            await flow.stop()
    assert got == ["ab", "c"]
