"""Compression and fragments between the nodes and the websockets library, both ways round."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from flowbus_websocket.protocol.answer import Answering, accept
from flowbus_websocket.protocol.deflate import Deflater
from flowbus_websocket.protocol.encoder import FrameEncoder
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.sync.server import ServerConnection

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow
from tests.system import websocket_servers as servers
from tests.system.websocket_peers import Peer, connected, details, in_thread, raw_client, serving

pytestmark = pytest.mark.system

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
LONG = "äöü, and what else there is to say; " * 100
NO_CONTEXT = {
    "server_no_context_takeover": True,
    "client_no_context_takeover": True,
    "server_max_window_bits": 10,
    "client_max_window_bits": 9,
}


def deflate_of(peer: Peer) -> str:
    """Return the extensions that a peer uses, by the name of their class and their parameters."""
    return ", ".join(map(repr, peer.connection.protocol.extensions))


async def echo(flow: Flow, peer: Peer, payload: str | bytes, **headers: Any) -> Message:
    """Send from the peer to the flow and back; returns what the flow got."""
    await peer.send(payload)
    message = await flow.get("out")
    assert message.payload == payload
    await flow.put("in", message.with_headers(**headers))
    assert await peer.recv() == payload
    return message


# ---- server


@pytest.mark.parametrize(
    "option", [True, NO_CONTEXT, {"server_no_context_takeover": False, "mem_level": 1}]
)
@pytest.mark.parametrize(
    "offer", [{}, {"server_no_context_takeover": True, "client_max_window_bits": 12}]
)
async def test_a_client_that_offers_it_is_served_with_compression(option: Any, offer: Any) -> None:
    extensions = [ClientPerMessageDeflateFactory(**offer)]
    async with (
        serving(compression=option, compress_min=10) as (flow, port),
        connected(port, extensions=extensions) as peer,
    ):
        assert "PerMessageDeflate" in deflate_of(peer)
        sent = details(flow)["connections"][0]
        for payload in (LONG, LONG.encode(), "", "short", LONG * 50):
            await echo(flow, peer, payload)
        shown = details(flow)["connections"][0]
        assert shown["compression"]["server_max_window_bits"] <= 11
        assert shown["bytes_out"] - sent["bytes_out"] < 4000
        assert shown["bytes_in"] - sent["bytes_in"] < 4000


async def test_without_an_offer_or_with_the_option_off_nothing_is_compressed() -> None:
    async with serving() as (flow, port), connected(port) as peer:
        await echo(flow, peer, LONG)
        assert details(flow)["connections"][0]["compression"] is None
    async with (
        serving(compression=False) as (flow, port),
        connected(port, compression="deflate") as peer,
    ):
        await echo(flow, peer, LONG)
        assert deflate_of(peer) == ""


async def test_a_message_may_say_whether_it_is_compressed() -> None:
    async with serving() as (flow, port), connected(port, compression="deflate") as peer:
        sizes = []
        for headers in ({}, {"compress": False}, {"compress": True}):
            before = details(flow)["connections"][0]["bytes_out"]
            await echo(flow, peer, "x" * 3000, **headers)
            await echo(flow, peer, "x" * 300, **headers)
            sizes.append(details(flow)["connections"][0]["bytes_out"] - before)
        assert 300 < sizes[0] < 400
        assert sizes[1] == 3300 + 8
        assert sizes[2] < 50


async def test_a_broadcast_reaches_all_whatever_they_agreed_to() -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"compression": "deflate"},
        {"compression": "deflate"},
        {"extensions": [ClientPerMessageDeflateFactory(server_no_context_takeover=True)]},
        {"extensions": [ClientPerMessageDeflateFactory(server_no_context_takeover=True)]},
        {"extensions": [ClientPerMessageDeflateFactory(True, True, 9, 9)]},
    ]
    option = {"server_no_context_takeover": False}
    async with (
        serving(compress_min=1, compression=option) as (flow, port),
        contextlib.AsyncExitStack() as stack,
    ):
        peers = [await stack.enter_async_context(connected(port, **kind)) for kind in kinds]
        for _ in peers:
            await flow.get("events")
        names = [shown["connection"] for shown in details(flow)["connections"]]
        for number in range(5):
            await flow.put("in", Message(f"{number} {LONG}"))
            few = [name for place, name in enumerate(names) if (place + number) % 2]
            await flow.put("in", Message(f"few {LONG}", headers={"connection": few}))
            for place, peer in enumerate(peers):
                assert await peer.recv() == f"{number} {LONG}"
                if (place + number) % 2:
                    assert await peer.recv() == f"few {LONG}"


async def test_pings_between_compressed_fragments() -> None:
    async with serving() as (flow, port), connected(port, compression="deflate") as peer:
        pongs = []

        def parts() -> Iterator[str]:
            for number in range(5):
                yield f"{number} {LONG}"
                pongs.append(peer.connection.ping(f"{number}"))

        await peer.send(parts())
        assert (await flow.get("out")).payload == "".join(f"{number} {LONG}" for number in range(5))
        for pong in pongs:
            assert await in_thread(pong.wait, 5)
        await echo(flow, peer, LONG)


async def test_bombs_and_broken_data_close_their_connection_only() -> None:
    bomb = Deflater(15).piece(bytes(60_000_000), final=True)
    head = b"\xc2\xfe" + len(bomb).to_bytes(2) + bytes(4)
    async with serving() as (flow, port), connected(port, compression="deflate") as other:
        await flow.get("events")
        for data, code, fault in (
            (head + bomb, 1009, "ws.message_too_big"),
            (b"\xc2\x84" + bytes(4) + b"\xff" * 4, 1007, "ws.decompress_error"),
            (b"\xc9\x80" + bytes(4), 1002, "ws.protocol_error"),
        ):
            stream = await raw_client(port, REQUEST)
            await stream.send_all(data)
            answer = await stream.receive_some(4)
            assert (answer[0], int.from_bytes(answer[2:4])) == (0x88, code)
            await stream.aclose()
            for event in ("connected", "disconnected"):
                assert (await flow.get("events")).payload["event"] == event
            assert flow.report()["nodes"]["ws"]["faults"][fault] == 1
        await echo(flow, other, LONG)


async def test_a_malformed_offer_is_refused_and_a_wrong_one_declined() -> None:
    async with serving() as (flow, port):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(REQUEST.replace(b"bits\r\n", b"bits;\r\n"))
        assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 400 ")
        await stream.aclose()
        stream = await raw_client(port, REQUEST.replace(b"bits\r\n", b"bits=99\r\n"))
        await flow.get("events")
        assert details(flow)["connections"][0]["compression"] is None
        await stream.aclose()


# ---- client


def client_flow(port: int, **options: Any) -> dict[str, Any]:
    return servers.flow_of(port, **{"compress_min": 10, **options})


@pytest.mark.parametrize("option", [True, NO_CONTEXT, {"client_max_window_bits": 8}])
@pytest.mark.parametrize(
    "answer", [{}, {"server_no_context_takeover": True, "client_max_window_bits": 10}]
)
async def test_a_server_that_takes_the_offer(option: Any, answer: Any) -> None:
    wire: list[str] = []

    def talk(connection: ServerConnection) -> None:
        wire.append(repr(connection.protocol.extensions))
        servers.echo(connection)

    extensions = [ServerPerMessageDeflateFactory(**answer)]
    with trio.fail_after(20), servers.serving(talk, extensions=extensions) as port:
        async with run_flow(client_flow(port, compression=option)) as flow:
            await flow.wait_running()
            for payload in (LONG, LONG.encode(), "", "short", LONG * 10):
                assert (await flow.put("in", Message(payload))).outcome is Outcome.CONFIRMED
                assert (await flow.get("out")).payload == payload
            shown = details(flow)["connection"]
            assert shown["compression"] is not None
            assert shown["bytes_out"] < 4000
            assert shown["bytes_in"] < 4000
    assert "PerMessageDeflate" in wire[0]


async def test_a_server_that_does_not_take_it_is_served_without() -> None:
    with trio.fail_after(20), servers.serving(servers.echo) as port:
        async with run_flow(client_flow(port, compression=True)) as flow:
            await flow.wait_running()
            await flow.put("in", Message(LONG))
            assert (await flow.get("out")).payload == LONG
            assert details(flow)["connection"]["compression"] is None


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("permessage-deflate", False),
        ("permessage-deflate; client_max_window_bits=7", True),
        ("permessage-deflate; server_max_window_bits=12", {"server_max_window_bits": 11}),
        ("permessage-bzip2", True),
        ("permessage-deflate;", True),
    ],
)
async def test_an_answer_that_was_not_offered_is_a_fault(answer: str, option: Any) -> None:
    def talk(connection: socket.socket) -> None:
        request = Answering().receive(connection.recv(4096))
        assert request is not None
        connection.sendall(accept(request, None, [("Sec-WebSocket-Extensions", answer)]))

    with trio.fail_after(20), servers.listening(talk) as port:
        async with run_flow(client_flow(port, compression=option)) as flow:
            status = await flow.wait_code("ws", "ws.extension_invalid")
            assert "permessage" in status.text


async def test_broken_data_and_a_bomb_of_a_server_have_their_faults() -> None:
    bomb = Deflater(15).piece(bytes(60_000_000), final=True)
    sent = iter([b"\xc2\x04" + b"\xff" * 4, b"\xc2\x7e" + len(bomb).to_bytes(2) + bomb])
    codes: list[int] = []

    def talk(connection: socket.socket) -> None:
        request = Answering().receive(connection.recv(4096))
        assert request is not None
        data = next(sent, None)
        if data is not None:
            connection.sendall(
                accept(request, None, [("Sec-WebSocket-Extensions", "permessage-deflate")])
            )
            connection.sendall(data)
            frame = connection.recv(100)
            codes.append(
                int.from_bytes(bytes(a ^ b for a, b in zip(frame[6:8], frame[2:4], strict=True)))
            )

    with trio.fail_after(20), servers.listening(talk) as port:
        async with run_flow(client_flow(port, compression=True, close_timeout=0.2)) as flow:
            await flow.wait_code("ws", "ws.decompress_error")
            await flow.wait_code("ws", "ws.message_too_big")
    assert codes == [1007, 1009]


# ---- fragments


async def test_a_server_delivers_fragments_as_they_come() -> None:
    async with (
        serving(deliver="fragment", max_receive_message=100_000) as (flow, port),
        connected(port, compression="deflate") as peer,
    ):
        come = trio.Semaphore(0)

        def parts() -> Iterator[str]:
            for number in range(4):
                yield "ä" * 20_000
                # The next part is sent once this one has left the node.
                trio.from_thread.run(come.acquire) if number < 3 else None

        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, parts())
            for _ in range(4):
                message = await flow.get("out")
                assert (message.payload, message.headers["final"]) == ("ä" * 20_000, False)
                come.release()
            message = await flow.get("out")
            assert (message.payload, message.headers["final"]) == ("", True)
        await peer.send(b"whole")
        message = await flow.get("out")
        assert (message.payload, message.headers["final"]) == (b"whole", True)
        assert message.headers["content_type"] == "binary"
        await peer.send("x" * 100_001)
        assert (await peer.closed())[0] == 1009


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_flow_sends_fragments_of_one_message(compression: str | None) -> None:
    async with serving() as (flow, port), connected(port, compression=compression) as peer:
        await flow.get("events")
        for number in range(3):
            await flow.put("in", Message(f"{number} {LONG}", headers={"final": False}))
        end = await flow.put("in", Message("in between"))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.out_of_order")
        assert (
            await flow.put("in", Message(b"", headers={"final": False}))
        ).code == "ws.out_of_order"
        await flow.put("in", Message("?", headers={"content_type": "ping"}))
        await flow.put("in", Message("end", headers={"final": True}))
        await flow.put("in", Message("after"))
        parts = await in_thread(lambda: list(peer.connection.recv_streaming()))
        assert parts == [*(f"{number} {LONG}" for number in range(3)), "end"]
        assert await peer.recv() == "after"


async def test_a_client_node_exchanges_fragments() -> None:
    got: list[list[str | bytes]] = []

    def talk(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                got.append(list(connection.recv_streaming()))
                connection.send(iter(got[-1]))

    with trio.fail_after(20), servers.serving(talk, compression="deflate") as port:
        value = client_flow(port, compression=True, deliver="fragment")
        async with run_flow(value) as flow:
            await flow.wait_running()
            for number in range(3):
                await flow.put("in", Message(f"{number} {LONG}", headers={"final": number == 2}))
            expected = [f"{number} {LONG}" for number in range(3)]
            came = [await flow.get("out") for _ in range(4)]
            assert [message.payload for message in came] == [*expected, ""]
            assert [message.headers["final"] for message in came] == [False, False, False, True]
    assert got == [expected]


async def test_a_fragment_that_finds_no_room_closes_its_client() -> None:
    options = {"send_queue": 1000, "slow_client": "drop", "close_timeout": 0.1}
    async with serving(**options) as (flow, port):
        stream = await raw_client(port)
        await flow.get("events")
        codes = set()
        while (
            event := flow.runtime.status()["nodes"]["ws"]["details"]["connections"]
        ) and not codes:
            for _ in range(100):
                flow.put_soon("in", Message("x" * 50_000, headers={"final": False}))
            await flow.wait_settled()
            codes = set(flow.report()["nodes"]["ws"]["faults"]) & {"ws.1008"}
            assert event
        assert (await flow.get("events")).payload["code"] == 1008
        await stream.aclose()


async def test_a_flood_of_tiny_fragments_harms_nobody() -> None:
    encoder = FrameEncoder(masked=True)
    tiny = b"".join(encoder.fragment("x", final=n == 9_999) for n in range(10_000))
    empty = b"".join(encoder.fragment("", final=False) for _ in range(5_000))
    endless = FrameEncoder(masked=True)
    async with (
        serving(max_receive_message=20_000) as (flow, port),
        connected(port) as other,
    ):
        await flow.get("events")
        stream = await raw_client(port)
        await stream.send_all(tiny)
        assert (await flow.get("out")).payload == "x" * 10_000
        await stream.send_all(empty)
        answer = await stream.receive_some(4)
        assert (answer[0], int.from_bytes(answer[2:4])) == (0x88, 1008)
        await stream.aclose()
        await echo(flow, other, "still served")
        stream = await raw_client(port)
        with contextlib.suppress(trio.BrokenResourceError):
            for _ in range(21):
                await stream.send_all(
                    b"".join(endless.fragment("x", final=False) for _ in range(1000))
                )
        answer = await stream.receive_some(4)
        assert (answer[0], int.from_bytes(answer[2:4])) == (0x88, 1009)
        await stream.aclose()
