"""websocket-client at servers of Node's library ``ws``: what passes, and how it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from flowbus import Config, Message, NodeIO, Outcome, State, io_node
from flowbus.testing import Flow, run_flow
from tests.certificates import CA, Identity
from tests.system.node_ws import Node, needs_ws, node
from tests.system.websocket_peers import details
from tests.system.websocket_servers import flow_of

pytestmark = [pytest.mark.system, needs_ws]

SERVER = Identity("server", CA, hosts=["127.0.0.1"])
LINE = Identity("line 3", CA, hosts=["line3.test"])


@contextlib.asynccontextmanager
async def met(ws: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[tuple[Flow, Node]]:
    """Have Node.js serve with the options ``ws``, and a client connect."""
    with trio.fail_after(30):
        async with node() as peer:
            port = await peer.serve(**(ws or {}))
            async with run_flow(flow_of(port, **options)) as flow:
                await flow.wait_running("ws")
                await peer.met()
                yield flow, peer


async def echo(flow: Flow, peer: Node, payload: str | bytes, **options: Any) -> None:
    assert (await flow.put("in", Message(payload))).outcome is Outcome.CONFIRMED
    assert await peer.heard() == ["text" if isinstance(payload, str) else "binary", payload]
    await peer.send(payload, **options)
    assert (await flow.get("out")).payload == payload


# ---- messages


async def test_text_and_binary_of_every_length() -> None:
    async with met(max_receive_frame="2MB") as (flow, peer):
        for size in (0, 1, 125, 126, 65_535, 65_536, 1 << 20):
            await echo(flow, peer, "x" * size)
            await echo(flow, peer, os.urandom(size))
        await echo(flow, peer, "äöü € 🏭 \u0000")


@pytest.mark.parametrize(
    ("offered", "served", "agreed"),
    [
        (False, True, None),
        (True, False, None),
        (True, True, {}),
        ({"server_no_context_takeover": True}, True, {"server_no_context_takeover": True}),
        ({"client_no_context_takeover": True}, True, {"client_no_context_takeover": True}),
        ({"server_max_window_bits": 10}, True, {"server_max_window_bits": 10}),
        ({"client_max_window_bits": 10}, {"clientMaxWindowBits": 9}, {"client_max_window_bits": 9}),
        (True, {"serverNoContextTakeover": True, "clientNoContextTakeover": True},
         {"server_no_context_takeover": True, "client_no_context_takeover": True}),
        (True, {"serverMaxWindowBits": 9, "clientMaxWindowBits": 12},
         {"server_max_window_bits": 9, "client_max_window_bits": 12}),
    ],
)  # fmt: skip
async def test_compression(offered: Any, served: Any, agreed: dict[str, Any] | None) -> None:
    deflate = {"threshold": 0, **served} if isinstance(served, dict) else served
    options = {"compression": offered, "compress_min": 0}
    async with met({"perMessageDeflate": deflate}, **options) as (flow, peer):
        told = details(flow)["connection"]["compression"]
        if agreed is None:
            assert told is None
        else:
            assert told.items() >= agreed.items()
        for payload in ("ä" * 9_000, "", b"", os.urandom(3000).hex(), os.urandom(30_000), "ä" * 9):
            await echo(flow, peer, payload, compress=agreed is not None)


async def test_fragments_with_pings_between_them() -> None:
    async with met({"perMessageDeflate": True}, compression=True) as (flow, peer):
        for compress in (False, True):
            await peer.send("a ä", fin=False, compress=compress)
            await peer.send("", fin=False, compress=compress)
            await peer("kept.peer.socket.ping('between')")
            await peer.send(" z", fin=True, compress=compress)
            assert await peer.heard() == ["pong", "between"]
            assert (await flow.get("out")).payload == "a ä z"


async def test_pings_of_the_flow_are_answered() -> None:
    async with met() as (flow, peer):
        end = await flow.put("in", Message("there?", headers={"command": "ping"}))
        assert end.outcome is Outcome.CONFIRMED
        assert await peer.heard() == ["ping", "there?"]
        await flow.put("in", Message(b"x", headers={"content_type": "pong"}))
        assert await peer.heard() == ["pong", "x"]


async def test_messages_are_confirmed_by_the_answers_of_the_server() -> None:
    async with met(confirm="answered") as (flow, peer):
        for number in range(20):
            end = await flow.put("in", Message(f"{number}"))
            assert end.outcome is Outcome.CONFIRMED
        heard = [await peer.heard() for _ in range(40)]
        assert [text for kind, text in heard if kind == "text"] == [f"{n}" for n in range(20)]
        assert sum(kind == "ping" for kind, _ in heard) == 20


async def test_a_server_that_answers_no_ping_is_left_and_tried_again() -> None:
    options = {"keepalive_interval": 0.1, "keepalive_timeout": 0.1}
    async with met({"autoPong": False}, **options) as (flow, peer):
        await flow.wait_code("ws", "ws.keepalive_timed_out")
        await peer.met()
        await flow.wait_running("ws")


# ---- the handshake


async def test_what_the_server_sees_of_the_request() -> None:
    options: dict[str, Any] = {
        "path": "/line/3?shift=n%C3%A4chste", "origin": "https://line3.example",
        "headers": {"X-Line": "3", "Cookie": "a=b", "Authorization": "Bearer secret"},
        "subprotocols": ["v2", "v1"], "compression": True,
    }  # fmt: skip
    async with node() as peer:
        port = await peer.serve(perMessageDeflate=True)
        with trio.fail_after(20):
            async with run_flow(flow_of(port, **options)) as flow:
                await flow.wait_running("ws")
                seen = await peer.met()
                assert seen["url"] == "/line/3?shift=n%C3%A4chste"
                assert (seen["protocol"], seen["extensions"]) == ("v2", "permessage-deflate")
                headers = {
                    **options["headers"],
                    "Origin": options["origin"],
                    "Host": f"127.0.0.1:{port}",
                }
                assert seen["headers"].items() >= {k.lower(): v for k, v in headers.items()}.items()
                assert "secret" not in str(details(flow))
                assert flow.status("ws").text.endswith("subprotocol v2")


async def test_a_server_on_another_path_answers_400() -> None:
    with trio.fail_after(20):
        async with node() as peer:
            port = await peer.serve(path="/live")
            async with run_flow(flow_of(port, path="/other")) as flow:
                status = await flow.wait_code("ws", "ws.response_status")
                assert "400" in status.text


# ---- the end


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999]
)
async def test_close_codes_both_ways(code: int) -> None:
    async with met() as (flow, peer):
        await peer("kept.peer.socket.close(code, 'genug')", code=code)
        text = (await flow.wait_code("ws", f"ws.{code}")).text
        assert "genug" in text
        assert str(code) in text
        assert await peer.heard() == ["close", code, ""]
        await peer.met()
        await flow.wait_running("ws")
        await flow.put("in", Message("the last"))
        close = Message({"code": code, "reason": "Schluß"}, headers={"command": "close"})
        assert (await flow.put("in", close)).outcome is Outcome.CONFIRMED
        assert await peer.heard() == ["text", "the last"]
        assert await peer.heard() == ["close", code, "Schluß"]
        assert flow.status("ws").code == "ws.closed"


@pytest.mark.parametrize(
    ("how", "codes"),
    [
        ("terminate()", {"ws.1006", "ws.connection_lost"}),
        ("_socket.end()", {"ws.1006"}),
        ("_socket.resetAndDestroy()", {"ws.connection_lost"}),
    ],
)
async def test_a_server_that_vanishes_is_connected_to_again(how: str, codes: set[str]) -> None:
    async with met() as (flow, peer):
        await peer.send("the last")
        await peer(f"kept.peer.socket.{how}")
        assert (await flow.get("out")).payload == "the last"
        status = await flow.wait_state("ws", State.WAITING)
        assert status.code in codes
        await peer.met()
        await flow.wait_running("ws")
        await echo(flow, peer, "again")


@pytest.mark.parametrize("compress", [False, True])
async def test_the_client_is_sent_more_than_it_takes(compress: bool) -> None:
    options = {"max_receive_message": 10_000, "compression": compress}
    async with met({"perMessageDeflate": compress}, **options) as (flow, peer):
        await peer.send("x" * 10_000, compress=compress)
        assert len((await flow.get("out")).payload) == 10_000
        await peer.send("x" * 10_001, compress=compress)
        kind, code, reason = await peer.heard()
        assert (kind, code) == ("close", 1009)
        assert "10000" in reason
        await flow.wait_code("ws", "ws.message_too_big")


@pytest.mark.parametrize("compress", [False, True])
async def test_the_server_is_sent_more_than_it_takes(compress: bool) -> None:
    ws = {"maxPayload": 10_000, "perMessageDeflate": compress}
    async with met(ws, compression=compress) as (flow, peer):
        await flow.put("in", Message("x" * 10_000))
        assert await peer.heard() == ["text", "x" * 10_000]
        flow.put_soon("in", Message("x" * 10_001))
        status = await flow.wait_code("ws", "ws.1009")
        assert "too big" in status.text
        assert (await peer.heard())[1] == "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"


# ---- backpressure


class Nothing(Config):
    """No options."""


@pytest.mark.parametrize("compression", [False, True])
async def test_a_server_that_does_not_read_gets_all_in_its_order_later(compression: bool) -> None:
    async with met({"perMessageDeflate": compression}, compression=compression) as (flow, peer):
        await peer("kept.peer.socket.pause()")
        content = os.urandom(100_000).hex()
        for number in range(100):
            flow.put_soon("in", Message(f"{number} {content}"))
        # What the buffers of the system hold is far less than these 20 MB.
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert flow.report()["ledger"]["confirmed"] < 100
        await peer("kept.peer.socket.resume()")
        for number in range(100):
            assert (await peer.heard())[1].startswith(f"{number} ")
        await flow.wait_settled()
        assert flow.report()["ledger"]["confirmed"] == 100


async def test_what_the_flow_does_not_take_stays_with_the_server() -> None:
    gate = trio.Event()

    @io_node("test-gate", outlets=())
    async def gated(config: Nothing, io: NodeIO) -> None:
        """Take nothing until the gate is open."""
        io.connected()
        await gate.wait()
        seen: list[str] = []

        async def keep(message: Message) -> None:
            seen.append(str(message.payload).partition(" ")[0])
            if len(seen) == 300:
                done.append(seen)
                all_here.set()

        await io.each(keep)

    done: list[list[str]] = []
    all_here = trio.Event()
    with trio.fail_after(30):
        async with node() as peer:
            value = flow_of(await peer.serve(perMessageDeflate=False))
            value["nodes"]["gate"] = {"type": "test-gate"}
            value["wires"] = [["in", "ws"], {"from": "ws", "to": "gate", "capacity": 2}]
            async with run_flow(value, [gated]) as flow:
                await peer.met()
                waiting = await peer(
                    "for (let n = 0; n < 300; n++) kept.peer.socket.send(`${n} `.padEnd(60000, 'x'));"
                    "await sleep(100); return kept.peer.socket.bufferedAmount"
                )
                assert waiting > 1_000_000
                gate.set()
                await all_here.wait()
                assert done == [[f"{number}" for number in range(300)]]
                assert flow.report()["ledger"]["dropped"] == 0


# ---- TLS


async def test_mutual_tls() -> None:
    authority = CA.cert().decode()
    secure = {"cert": SERVER.cert().decode(), "key": SERVER.private().decode(), "ca": authority}
    secure |= {"requestCert": True, "rejectUnauthorized": True}
    own = {"ca": authority, "cert": LINE.cert().decode(), "key": LINE.private().decode()}
    with trio.fail_after(30):
        async with node() as peer:
            port = await peer.serve(secure)
            async with run_flow(flow_of(port, "wss", tls=own)) as flow:
                await flow.wait_running("ws")
                await peer.met()
                subject = await peer(
                    "return kept.peer.socket._socket.getPeerCertificate().subject.CN"
                )
                assert subject == "line 3"
                await echo(flow, peer, "ä" * 20_000)
            async with run_flow(flow_of(port, "wss", tls={"ca": authority})) as flow:
                await flow.wait_code("ws", "ws.tls_cert_required")
            async with run_flow(flow_of(port, "wss")) as flow:
                status = await flow.wait_state("ws", State.WAITING)
                assert (status.code or "").startswith("ws.tls_")
            async with run_flow(flow_of(port, "ws")) as flow:
                status = await flow.wait_state("ws", State.WAITING)
                assert status.code
