"""websocket-server with clients of Node's library ``ws``: what passes, and how it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from flowbus import Message, Outcome, State
from flowbus.testing import Flow
from tests.certificates import CA, Identity
from tests.system.node_ws import Node, needs_ws, node
from tests.system.websocket_peers import details, serving

pytestmark = [pytest.mark.system, needs_ws]

SERVER = Identity("server", CA, hosts=["127.0.0.1"])
PANEL = Identity("panel 7", CA, hosts=["panel.test"])
OWN = {"cert": SERVER.cert().decode(), "key": SERVER.private().decode()}


@contextlib.asynccontextmanager
async def met(
    ws: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Flow, Node, str]]:
    """Serve, and have a client with the options ``ws`` connect; yields the id of its connection."""
    async with serving(**options) as (flow, port), node() as peer:
        assert (await peer.connect(f"ws://127.0.0.1:{port}/live", **(ws or {})))[0] == "open"
        yield flow, peer, (await flow.get("events")).payload["connection"]


async def command(flow: Flow, name: str, payload: Any = None) -> None:
    end = await flow.put("in", Message(payload, headers={"command": name}))
    assert end.outcome is Outcome.CONFIRMED


async def echo(flow: Flow, peer: Node, payload: str | bytes, **options: Any) -> None:
    await peer.send(payload, **options)
    message = await flow.get("out")
    assert message.payload == payload
    assert (await flow.put("in", message)).outcome is Outcome.CONFIRMED
    assert await peer.heard() == ["text" if isinstance(payload, str) else "binary", payload]


# ---- messages


async def test_text_and_binary_of_every_length() -> None:
    async with met() as (flow, peer, _name):
        for size in (0, 1, 125, 126, 65_535, 65_536, 1 << 20):
            await echo(flow, peer, "x" * size)
            await echo(flow, peer, os.urandom(size))
        await echo(flow, peer, "äöü € 🏭 \u0000")


@pytest.mark.parametrize(
    ("offered", "option", "agreed"),
    [
        (False, True, ""),
        (True, False, ""),
        (True, True, "server_no_context_takeover"),
        (True, {"server_no_context_takeover": False}, "permessage-deflate"),
        ({"serverNoContextTakeover": True}, {"server_no_context_takeover": False}, "server_no_context_takeover"),
        ({"clientNoContextTakeover": True}, True, "client_no_context_takeover"),
        ({"serverMaxWindowBits": 9}, True, "server_max_window_bits=9"),
        ({"clientMaxWindowBits": 10}, True, "client_max_window_bits=10"),
        ({"clientMaxWindowBits": False}, True, "permessage-deflate"),
        (True, {"client_max_window_bits": 9}, "client_max_window_bits=9"),
        (True, {"client_no_context_takeover": True}, "client_no_context_takeover"),
    ],
)  # fmt: skip
async def test_compression(offered: Any, option: Any, agreed: str) -> None:
    if isinstance(offered, dict):
        offered = {"threshold": 0, **offered}
    async with serving(compression=option, compress_min=0) as (flow, port), node() as peer:
        url = f"ws://127.0.0.1:{port}"
        kind, _, extensions = await peer.connect(url, perMessageDeflate=offered)
        assert kind == "open"
        told = await peer("return kept.peer.socket._extensions['permessage-deflate']?.params")
        assert bool(extensions) is bool(agreed)
        name, _, value = agreed.partition("=")
        if name and name != "permessage-deflate":
            assert told[name] == (int(value) if value else True)
        shown = details(flow)["connections"][0]["compression"]
        assert (shown is None) is not bool(agreed)
        for payload in ("ä" * 30_000, "", b"", os.urandom(3000).hex(), os.urandom(30_000), "ä" * 9):
            await echo(flow, peer, payload, compress=bool(agreed))


async def test_fragments_with_pings_between_them() -> None:
    async with met() as (flow, peer, _name):
        for compress in (False, True):
            await peer.send("a ä", fin=False, compress=compress)
            await peer.send("", fin=False, compress=compress)
            await peer("kept.peer.socket.ping('between')")
            await peer.send(" z", fin=True, compress=compress)
            assert await peer.heard() == ["pong", "between"]
            message = await flow.get("out")
            assert (message.payload, message.headers["content_type"]) == ("a ä z", "text")


async def test_a_character_in_two_fragments_arrives_whole_where_fragments_are_delivered() -> None:
    async with met(deliver="fragment") as (flow, peer, _name):
        euro = "€".encode()
        await peer.send(euro[:2], fin=False, binary=False)
        await peer.send(euro[2:] + b"!", fin=True, binary=False)
        message = await flow.get("out")
        assert (message.payload, message.headers["final"]) == ("€!", True)


async def test_a_large_message_goes_in_fragments_and_arrives_as_one() -> None:
    async with met(max_send_frame=1000, send_queue="8MB") as (flow, peer, _name):
        content = os.urandom(3_000_000)
        assert (await flow.put("in", Message(content))).outcome is Outcome.CONFIRMED
        assert await peer.heard() == ["binary", content]


async def test_pings_both_ways() -> None:
    async with met(ping_events=True) as (flow, peer, name):
        await peer("kept.peer.socket.ping('from node')")
        assert await peer.heard() == ["pong", "from node"]
        event = (await flow.get("events")).payload
        assert (event["event"], event["payload"]) == ("ping", "from node")
        await command(flow, "ping", "from flow")
        assert await peer.heard() == ["ping", "from flow"]
        events = [(await flow.get("events")).payload for _ in range(2)]
        assert {(e["event"], e["connection"], e["payload"]) for e in events} == {
            ("pong", name, "from flow")
        }


async def test_a_client_that_answers_no_ping_is_given_up() -> None:
    options = {"keepalive_interval": 0.05, "keepalive_timeout": 0.05}
    async with met({"autoPong": False}, **options) as (flow, _peer, _name):
        event = (await flow.get("events")).payload
        assert (event["event"], event["code"]) == ("disconnected", 1006)
        assert flow.report()["nodes"]["ws"]["faults"] == {"ws.keepalive_timed_out": 1}


async def test_subprotocols() -> None:
    rules = {"subprotocols": ["v2", "v1"]}
    async with serving(accept=rules) as (flow, port), node() as peer:
        for offered, chosen in ((["v1"], "v1"), (["v1", "x", "v2"], "v2")):
            opened = await peer.connect(f"ws://127.0.0.1:{port}", *offered)
            assert opened[:2] == ["open", chosen]
            assert (await flow.get("events")).payload["subprotocol"] == chosen
        # The library takes no connection without one of those that it has offered.
        kind, _, text = await peer.connect(f"ws://127.0.0.1:{port}", "x")
        assert (kind, text) == ("error", "Server sent no subprotocol")


# ---- the end


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999]
)
async def test_close_codes_both_ways(code: int) -> None:
    async with serving() as (flow, port), node() as peer:
        for by_client in (True, False):
            assert (await peer.connect(f"ws://127.0.0.1:{port}"))[0] == "open"
            await flow.get("events")
            if by_client:
                await peer("kept.peer.socket.close(code, 'genug')", code=code)
            else:
                await command(flow, "close", {"code": code, "reason": "genug"})
            event = (await flow.get("events")).payload
            assert (event["code"], event["reason"]) == (code, "genug")
            assert await peer.heard() == ["close", code, "" if by_client else "genug"]
            assert flow.status("ws").state is State.RUNNING


async def test_close_without_a_code() -> None:
    async with met() as (flow, peer, _name):
        await peer("kept.peer.socket.close()")
        event = (await flow.get("events")).payload
        assert (event["code"], event["reason"]) == (1005, "")
        assert await peer.heard() == ["close", 1005, ""]


@pytest.mark.parametrize(
    "how", ["terminate()", "_socket.destroy()", "_socket.resetAndDestroy()", "_socket.end()"]
)
async def test_a_client_that_vanishes(how: str) -> None:
    async with met() as (flow, peer, name):
        await peer.send("the last")
        await peer(f"kept.peer.socket.{how}")
        assert (await flow.get("out")).payload == "the last"
        event = (await flow.get("events")).payload
        assert (event["event"], event["connection"], event["code"]) == ("disconnected", name, 1006)
        assert event["reason"]
        end = await flow.put("in", Message("x", headers={"connection": name}))
        assert end.code == "ws.unknown_connection"
        assert flow.status("ws").state is State.RUNNING


async def test_node_has_ended_in_the_middle_of_a_message() -> None:
    async with met() as (flow, peer, _name):
        await peer.send("begun", fin=False)
        with contextlib.suppress(AssertionError):
            await peer("process.kill(process.pid, 'SIGKILL'); await sleep(10000)")
        assert (await flow.get("events")).payload["code"] == 1006
        assert not flow.got("out")


@pytest.mark.parametrize("compress", [False, True])
async def test_the_server_is_sent_more_than_it_takes(compress: bool) -> None:
    async with met(max_receive_message=10_000) as (flow, peer, _name):
        await echo(flow, peer, "x" * 10_000, compress=compress)
        await peer.send("x" * 10_001, compress=compress)
        kind, code, reason = await peer.heard()
        assert (kind, code) == ("close", 1009)
        assert "10000" in reason
        assert (await flow.get("events")).payload["code"] == 1009
        assert flow.report()["nodes"]["ws"]["faults"] == {"ws.message_too_big": 1}


@pytest.mark.parametrize("deflate", [False, True])
async def test_the_client_is_sent_more_than_it_takes(deflate: bool) -> None:
    options = {"maxPayload": 10_000, "perMessageDeflate": deflate}
    async with met(options) as (flow, peer, _name):
        await flow.put("in", Message("x" * 10_000))
        assert await peer.heard() == ["text", "x" * 10_000]
        await flow.put("in", Message("x" * 10_001))
        assert (await peer.heard())[:2] == ["error", "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"]
        event = (await flow.get("events")).payload
        assert (event["event"], event["code"]) == ("disconnected", 1009)


# ---- backpressure


async def test_one_that_does_not_read_stalls_nobody_and_gets_the_rest() -> None:
    options = {"slow_client": "drop", "send_queue": 200_000, "send_buffer": 20_000}
    async with serving(**options) as (flow, port), node() as slow, node() as quick:
        names = []
        for peer in (slow, quick):
            await peer.connect(f"ws://127.0.0.1:{port}", perMessageDeflate=False)
            names.append((await flow.get("events")).payload["connection"])
        await slow("kept.peer.socket.pause()")
        end, sent = None, 0
        for_slow = {"connection": names[0]}
        while details(flow)["connections"][0]["queued"] < 150_000:
            flow.put_soon("in", Message(f"{sent} {'x' * 20_000}", headers=for_slow))
            sent += 1
            await trio.testing.wait_all_tasks_blocked()
        while end is None or end.outcome is Outcome.CONFIRMED:
            with trio.move_on_after(0.1):
                end = await flow.put("in", Message("y" * 100_000, headers=for_slow))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.send_queue_full")
        await flow.put("in", Message("quick", headers={"connection": names[1]}))
        assert await quick.heard() == ["text", "quick"]
        await slow("kept.peer.socket.resume()")
        for number in range(sent):
            assert (await slow.heard())[1].startswith(f"{number} ")


async def test_what_the_flow_does_not_take_stays_with_the_client() -> None:
    async with met({"perMessageDeflate": False}, receive_buffer=20_000) as (flow, peer, _name):
        await command(flow, "pause")
        waiting = await peer(
            "for (let n = 0; n < 100; n++) kept.peer.socket.send(`${n} `.padEnd(100000, 'x'));"
            "return kept.peer.socket.bufferedAmount"
        )
        assert waiting > 1_000_000
        await command(flow, "resume")
        for number in range(100):
            assert (await flow.get("out")).payload.startswith(f"{number} ")


# ---- TLS


async def test_mutual_tls() -> None:
    authority = CA.cert().decode()
    tls = {**OWN, "client_ca": authority, "client_auth": "required"}
    async with serving(tls=tls) as (flow, port), node() as peer:
        url = f"wss://127.0.0.1:{port}/live"
        shown = {"cert": PANEL.cert().decode(), "key": PANEL.private().decode()}
        assert (await peer.connect(url, ca=authority, **shown))[0] == "open"
        event = (await flow.get("events")).payload
        assert "CN=panel 7" in event["client_cert"]["subject"]
        await echo(flow, peer, "ä" * 200_000)
        await peer("kept.peer.socket.close(1000)")
        assert (await flow.get("events")).payload["code"] == 1000
        assert (await peer.heard())[0] == "close"
        # In TLS 1.3 a client learns after its handshake that its certificate is wanted.
        assert (await peer.connect(url, ca=authority))[0] == "error"
        assert (await peer.connect(url))[0:2] == ["error", "SELF_SIGNED_CERT_IN_CHAIN"]
        while len(flow.report()["nodes"]["ws"]["faults"]) < 2:
            await trio.sleep(0.01)
        faults = set(flow.report()["nodes"]["ws"]["faults"])
        assert all(code.startswith("ws.tls_") for code in faults), faults
        assert not flow.got("events")
