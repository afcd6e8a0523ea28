"""Commands to a websocket-server, line mode, and what it tells of pings."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_sync

from flowbus import Message, Outcome
from flowbus.receipt import End
from flowbus.testing import Flow
from tests.system.websocket_peers import (
    REQUEST,
    Peer,
    connected,
    details,
    in_thread,
    raw_client,
    serving,
)

pytestmark = pytest.mark.system


async def command(flow: Flow, name: Any, payload: Any = None, **headers: Any) -> End:
    return await flow.put("in", Message(payload, headers={"command": name, **headers}))


async def met(flow: Flow) -> str:
    """Return the id of the client that has just connected."""
    event = (await flow.get("events")).payload
    assert event["event"] == "connected"
    name: str = event["connection"]
    return name


async def test_close_with_code_and_reason_ends_with_the_truth() -> None:
    async with serving() as (flow, port), connected(port) as a, connected(port) as b:
        ids = {await met(flow), await met(flow)}
        await a.send("a")
        first = (await flow.get("out")).headers["connection"]
        await flow.put("in", Message("before", headers={"connection": first}))
        end = await command(flow, "close", {"code": 4001, "reason": "go"}, connection=first)
        assert end.outcome is Outcome.CONFIRMED
        left = (await flow.get("events")).payload
        assert (left["event"], left["connection"]) == ("disconnected", first)
        assert (left["code"], left["reason"]) == (4001, "go")
        assert await a.recv() == "before"
        assert await a.closed() == (4001, "go")
        await b.send("still here")
        assert (await flow.get("out")).headers["connection"] in ids - {first}
        assert flow.report()["nodes"]["ws"]["faults"] == {}
        assert (await command(flow, "close")).outcome is Outcome.CONFIRMED
        assert await b.closed() == (1000, "")
        assert (await command(flow, "close")).outcome is Outcome.CONFIRMED, "nobody is left"


async def test_close_waits_for_the_answer_unless_told_not_to() -> None:
    async with serving(close_timeout=30) as (flow, port):
        async with await raw_client(port):  # it answers nothing
            name = await met(flow)
            end = await command(flow, "close", {"wait": False}, connection=name)
            assert end.outcome is Outcome.CONFIRMED
        assert (await flow.get("events")).payload["code"] == 1000


async def test_close_reaches_a_client_that_is_paused_or_that_the_flow_is_too_slow_for() -> None:
    async with serving() as (flow, port), connected(port) as peer:
        name = await met(flow)
        await command(flow, "pause", connection=name)
        assert (await command(flow, "close", connection=name)).outcome is Outcome.CONFIRMED
        assert await peer.closed() == (1000, "")


async def test_pause_stops_reading_and_resume_takes_it_up() -> None:
    async with serving() as (flow, port), connected(port) as a, connected(port) as b:
        ids = [await met(flow), await met(flow)]
        await a.send("1")
        first = (await flow.get("out")).headers["connection"]
        assert (await command(flow, "pause", connection=first)).outcome is Outcome.CONFIRMED
        states = {c["connection"]: c["accept_data"] for c in details(flow)["connections"]}
        assert states == {name: name != first for name in ids}
        await a.send("2")
        await b.send("from b")
        assert (await flow.get("out")).payload == "from b"
        await flow.put("in", Message("to a", headers={"connection": first}))
        assert await a.recv() == "to a"  # it is sent to as before
        assert not flow.got("out")
        assert (await command(flow, "resume", connection=first)).outcome is Outcome.CONFIRMED
        assert (await flow.get("out")).payload == "2"
        assert (await command(flow, "resume", connection=first)).outcome is Outcome.CONFIRMED


async def test_a_paused_client_is_not_given_up_by_the_keep_alive() -> None:
    options = {"keepalive_interval": 0.1, "keepalive_timeout": 0.1, "idle_timeout": 2.5}
    async with serving(**options) as (flow, port), connected(port):
        await met(flow)
        await command(flow, "pause")
        # The keep-alive would end it after a second or so, as 1006; here the idle clock does.
        assert (await flow.get("events")).payload["reason"] == "idle"


async def test_stop_listening_keeps_the_clients_and_start_listening_takes_the_port_again() -> None:
    async with serving() as (flow, port), connected(port) as peer:
        await met(flow)
        for _ in range(2):
            assert (await command(flow, "stop-listening")).outcome is Outcome.CONFIRMED
            assert details(flow)["listening"] is False
            assert flow.status("ws").text == f"not listening on ws://127.0.0.1:{port}/"
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("127.0.0.1", port)
        await peer.send("still here")
        assert (await flow.get("out")).payload == "still here"
        for _ in range(2):
            assert (await command(flow, "start-listening")).outcome is Outcome.CONFIRMED
            assert flow.status("ws").text == f"listening on ws://127.0.0.1:{port}/"
        async with connected(port):
            await met(flow)
            assert details(flow)["clients"] == 2


async def test_start_listening_on_a_port_that_is_taken_meanwhile() -> None:
    async with serving() as (flow, port), connected(port) as peer:
        await command(flow, "stop-listening")
        async with serving(port=port):
            end = await command(flow, "start-listening")
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.address_in_use")
        await peer.send("still here")
        assert (await flow.get("out")).payload == "still here"
        assert (await command(flow, "start-listening")).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("payload", ["hello", b"\xff\x00", ""])
async def test_ping_tells_the_answer(payload: str | bytes) -> None:
    async with serving() as (flow, port), connected(port) as peer:
        name = await met(flow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ignore_end, peer)
            end = await command(flow, "ping", {"payload": payload}, connection=name)
            assert end.outcome is Outcome.CONFIRMED
            event = (await flow.get("events")).payload
            assert (event["event"], event["connection"]) == ("pong", name)
            assert event["payload"] == payload or not payload
            assert event["seconds"] >= 0
            await command(flow, "close")


async def ignore_end(peer: Peer) -> None:
    await peer.closed()


async def test_a_ping_without_an_answer_is_rejected() -> None:
    async with serving() as (flow, port), await raw_client(port):
        name = await met(flow)
        end = await command(flow, "ping", {"payload": "?", "deadline": 0.2}, connection=name)
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.ping_unanswered")
        event = (await flow.get("events")).payload
        assert (event["event"], event["payload"]) == ("ping_unanswered", "?")


async def test_a_ping_ends_when_its_client_leaves() -> None:
    async with serving() as (flow, port):
        stream = await raw_client(port)
        name = await met(flow)
        async with trio.open_nursery() as nursery:

            async def leave() -> None:
                assert await stream.receive_some(1)  # the ping
                await stream.aclose()

            nursery.start_soon(leave)
            end = await command(flow, "ping", {"deadline": 25}, connection=name)
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.ping_unanswered")


async def test_events_of_pings_in_both_directions() -> None:
    async with serving(ping_events=True) as (flow, port), connected(port) as peer:
        await met(flow)
        assert await in_thread(peer.connection.ping("are you there?").wait, 10)
        event = (await flow.get("events")).payload
        assert (event["event"], event["payload"]) == ("ping", "are you there?")
        await in_thread(peer.connection.pong, "unasked")
        event = (await flow.get("events")).payload
        assert (event["event"], event["payload"]) == ("pong", "unasked")
        await peer.send("data goes on")
        assert (await flow.get("out")).payload == "data goes on"


@pytest.mark.parametrize(
    ("name", "payload", "headers", "code", "text"),
    [
        (
            "explode",
            None,
            {},
            "ws.bad_command",
            "there is no command 'explode'; known: close, ping",
        ),
        (7, None, {}, "ws.bad_command", "there is no command 7"),
        ("close", {"code": 1005}, {}, "ws.bad_command", "code: 1005 cannot be sent"),
        ("close", {"cod": 1}, {}, "ws.bad_command", "there is no argument 'cod'"),
        ("close", {"wait": "no"}, {}, "ws.bad_command", "wait: expected bool"),
        ("close", None, {"connection": "nobody"}, "ws.unknown_connection", "nobody"),
        ("pause", None, {"connection": 7}, "ws.unknown_connection", "neither an id nor a list"),
        ("pause", None, {"connection": [["a"]]}, "ws.unknown_connection", "neither an id nor"),
        ("ping", {"deadline": 0}, {}, "ws.bad_command", "deadline: "),
        ("ping", {"payload": "x" * 126}, {}, "ws.bad_command", "payload: has 126 bytes"),
        ("line-mode", {"max_line": 0}, {}, "ws.bad_command", "max_line: "),
    ],
)
async def test_commands_that_cannot_be_carried_out(
    name: Any, payload: Any, headers: dict[str, Any], code: str, text: str
) -> None:
    async with serving() as (flow, port), connected(port) as peer:
        await met(flow)
        end = await command(flow, name, payload, **headers)
        assert (end.outcome, end.code) == (Outcome.REJECTED, code)
        assert text in end.text
        await peer.send("still here")
        assert (await flow.get("out")).payload == "still here"


# ---- line mode


async def lines(flow: Flow, count: int) -> list[tuple[Any, bool]]:
    messages = [await flow.get("out") for _ in range(count)]
    return [(message.payload, message.headers["eol"]) for message in messages]


async def test_line_mode_joins_messages_and_cuts_lines() -> None:
    async with serving(line_mode=True, max_line=5) as (flow, port), connected(port) as peer:
        name = await met(flow)
        for text in ("ab", "c\r\nd\n\n", "1234567\n", "tail"):
            await peer.send(text)
        assert await lines(flow, 5) == [
            ("abc", True), ("d", True), ("", True), ("12345", False), ("67", True),
        ]  # fmt: skip
        await peer.send(b"bytes\n")
        assert await lines(flow, 2) == [("tail", False), (b"bytes", True)]
        await peer.send("unfinished")
        await in_thread(peer.connection.close)
        message = await flow.get("out")
        assert (message.payload, message.headers["eol"]) == ("unfin", False)
        assert message.headers["connection"] == name
        assert message.headers["content_type"] == "text"
        assert await lines(flow, 1) == [("ished", False)]
        assert (await flow.get("events")).payload["event"] == "disconnected"


async def test_line_mode_of_one_client_by_command() -> None:
    async with serving() as (flow, port), connected(port) as a, connected(port) as b:
        await met(flow)
        await met(flow)
        await a.send("who am I?")
        first = (await flow.get("out")).headers["connection"]
        end = await command(flow, "line-mode", {"max_line": 3}, connection=first)
        assert end.outcome is Outcome.CONFIRMED
        modes = {c["connection"]: c["line_mode"] for c in details(flow)["connections"]}
        assert modes[first] is True
        assert sum(modes.values()) == 1
        await b.send("x\ny\n")
        assert (await flow.get("out")).payload == "x\ny\n"
        await a.send("1234\nrest")
        assert await lines(flow, 3) == [("123", False), ("4", True), ("res", False)]
        await command(flow, "line-mode", {"on": False}, connection=first)
        assert await lines(flow, 1) == [("t", False)]
        await a.send("x\ny\n")
        assert (await flow.get("out")).payload == "x\ny\n"


async def test_an_endless_line_stays_in_bounds() -> None:
    def pump(port: int) -> None:
        with connect_sync(f"ws://127.0.0.1:{port}", compression=None) as peer:
            for _ in range(200):
                peer.send(b"x" * 10_000)

    async with serving(line_mode=True, max_line=1000) as (flow, port):
        await in_thread(pump, port)
        got = await lines(flow, 2000)
        assert set(got) == {(b"x" * 1000, False)}


async def test_nobody_hears_of_a_client_whose_handshake_failed() -> None:
    async with serving(path="/p") as (flow, port):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(REQUEST)
            async for _ in stream:
                pass
        with pytest.raises(ConnectionClosed):
            async with connected(port, "/p") as peer:
                await met(flow)
                await command(flow, "close")
                await peer.recv()
        assert (await flow.get("events")).payload["event"] == "disconnected"
        assert not flow.got("events")


async def test_commands_overtake_a_message_that_waits_for_a_slow_client() -> None:
    options = {"slow_client": "wait", "send_queue": 1000, "keepalive": False, "close_timeout": 0.2}
    async with serving(**options) as (flow, port), await raw_client(port):
        slow = await met(flow)
        # The first is more than the system takes, so the second waits, and the third behind it.
        for size in (20_000_000, 2000, 2000):
            flow.put_soon("in", Message(b"x" * size, headers={"connection": slow}))
        async with connected(port) as peer:
            name = await met(flow)
            flow.put_soon("in", Message("behind it", headers={"connection": name}))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ignore_end, peer)
                assert (await command(flow, "ping", connection=name)).outcome is Outcome.CONFIRMED
                assert (await flow.get("events")).payload["event"] == "pong"
                await command(flow, "close", {"code": 1013}, connection=slow)
                assert (await flow.get("events")).payload["code"] == 1013
                await flow.wait_settled()
                # Nobody has to wait any more.
                assert flow.report()["ledger"]["sources"]["in"]["rejected"] == 3
                await command(flow, "close", connection=name)
