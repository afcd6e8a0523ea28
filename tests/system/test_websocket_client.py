"""websocket-client against servers of the websockets library, and against sockets that misbehave."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from flowbus import Config, Message, NodeIO, Outcome, State, io_node
from flowbus.testing import run_flow
from tests.system.websocket_servers import echo, flow_of, serving

pytestmark = pytest.mark.system


class Nothing(Config):
    """No options."""


@io_node("test-blocked", outlets=())
async def blocked(config: Nothing, io: NodeIO) -> None:
    """Take nothing, for ever."""
    io.connected()
    await trio.sleep_forever()


async def test_text_binary_and_json() -> None:
    with trio.fail_after(20), serving(echo) as port:
        async with run_flow(flow_of(port, path="/a?b=secret")) as flow:
            await flow.wait_running()
            assert flow.status("ws").text == f"ws://127.0.0.1:{port}/a"
            for payload, back, kind in (
                ("äöü", "äöü", "text"),
                (b"\x00\xff", b"\x00\xff", "binary"),
                ({"a": [1, None]}, '{"a":[1,null]}', "text"),
                (7.5, "7.5", "text"),
                ("", "", "text"),
                ("x" * 60_000, "x" * 60_000, "text"),
            ):
                assert (await flow.put("in", Message(payload))).outcome is Outcome.CONFIRMED
                message = await flow.get("out")
                assert message.payload == back
                assert message.headers == {"content_type": kind}
            report = await flow.stop()
    assert report["ledger"]["in_flight"] == 0
    assert report["nodes"]["ws"]["restarts"] == 0


async def test_content_type_overrides_and_bad_payloads_are_rejected() -> None:
    with trio.fail_after(20), serving(echo) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running()
            await flow.put("in", Message("text", headers={"content_type": "binary"}))
            assert (await flow.get("out")).payload == b"text"
            await flow.put("in", Message(b"bytes", headers={"content_type": "text"}))
            assert (await flow.get("out")).payload == "bytes"
            for bad in (
                Message(b"\xff", headers={"content_type": "text"}),
                Message(object()),
                Message("\ud800"),
                Message("x", headers={"content_type": "video"}),
                Message(b"x" * 126, headers={"content_type": "ping"}),
            ):
                end = await flow.put("in", bad)
                assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.bad_payload")
            assert flow.status("ws").state is State.RUNNING


async def test_large_messages_are_fragmented_and_fragments_joined() -> None:
    def handler(connection: ServerConnection) -> None:
        parts = list(connection.recv_streaming())
        connection.send(iter(parts))
        connection.send(f"{len(parts)}")

    with trio.fail_after(20), serving(handler) as port:
        async with run_flow(flow_of(port, max_send_frame="10KB")) as flow:
            await flow.wait_running()
            await flow.put("in", Message("ä" * 50_000))
            assert (await flow.get("out")).payload == "ä" * 50_000
            assert (await flow.get("out")).payload == "10"


async def test_pings_are_answered_also_between_fragments() -> None:
    def handler(connection: ServerConnection) -> None:
        assert connection.ping(b"one").wait(5)

        def parts() -> Iterator[str]:
            yield "a"
            assert connection.ping(b"two").wait(5)
            yield "b"

        connection.send(parts())

    with trio.fail_after(20), serving(handler) as port:
        async with run_flow(flow_of(port)) as flow:
            assert (await flow.get("out")).payload == "ab"


async def test_the_request_is_what_was_asked_for() -> None:
    def handler(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        for name in ("Origin", "Authorization", "Host", "User-Agent"):
            connection.send(f"{name}: {request.headers.get(name)}")
        connection.send(f"{request.path} {connection.subprotocol}")
        connection.recv()

    options = {
        "subprotocols": ["x", "y"],
        "origin": "http://line3",
        "headers": {"authorization": "Bearer secret\n", "HOST": "other"},
    }
    with trio.fail_after(20), serving(handler, subprotocols=["y"]) as port:
        async with run_flow(flow_of(port, path="/p?q=%20", **options)) as flow:
            got = [(await flow.get("out")).payload for _ in range(5)]
            status = flow.status("ws").text
    assert got == [
        "Origin: http://line3", "Authorization: Bearer secret", "Host: other", "User-Agent: None",
        "/p?q=%20 y",
    ]  # fmt: skip
    assert "subprotocol y" in status
    assert "secret" not in status


async def test_a_server_restarts_and_nothing_is_lost() -> None:
    with contextlib.ExitStack() as first:
        port = first.enter_context(serving(echo))
        with trio.fail_after(30):
            async with run_flow(flow_of(port)) as flow:
                await flow.wait_running()
                await flow.put("in", Message("before"))
                assert (await flow.get("out")).payload == "before"
                await trio.to_thread.run_sync(first.close)
                await flow.wait_state("ws", State.WAITING)
                for number in range(50):
                    flow.put_soon("in", Message(f"{number}"))
                await flow.wait_code("ws", "ws.connection_refused")
                with serving(echo, port=port):
                    await flow.wait_running()
                    got = [(await flow.get("out")).payload for _ in range(50)]
                    assert got == [f"{number}" for number in range(50)]
                    report = await flow.stop()
    assert report["nodes"]["ws"]["restarts"] >= 1
    assert report["ledger"]["rejected"] == 0


async def test_a_frame_or_message_too_large_closes_with_1009() -> None:
    codes: list[int | None] = []

    def handler(connection: ServerConnection) -> None:
        connection.send("x" * 1001)
        with contextlib.suppress(ConnectionClosed):
            connection.recv(5)
        codes.append(connection.close_code)

    with trio.fail_after(20), serving(handler) as port:
        for limit in ("max_receive_message", "max_receive_frame"):
            async with run_flow(flow_of(port, **{limit: 1000})) as flow:
                status = await flow.wait_code("ws", "ws.message_too_big")
                assert "1009" in status.text
    assert set(codes) == {1009}


@pytest.mark.parametrize("when_full", ["drop-oldest", "drop-newest", "reject"])
async def test_a_full_wire_behind_out_is_a_fault_of_the_node(when_full: str) -> None:
    def gush(connection: ServerConnection) -> None:
        for number in range(100):
            connection.send(f"{number}")
        connection.recv()

    flow_of_two = flow_of(0)
    flow_of_two["nodes"]["blocked"] = {"type": "test-blocked"}
    wire = {"from": "ws", "to": "blocked", "capacity": 10, "when_full": when_full}
    flow_of_two["wires"] = [["in", "ws"], wire]
    with trio.fail_after(20), serving(gush) as port:
        flow_of_two["nodes"]["ws"]["url"] = f"ws://127.0.0.1:{port}"
        async with run_flow(flow_of_two, [blocked]) as flow:
            while flow.report()["wires"][1]["dropped"] < 90:
                await trio.sleep(0.01)
            faults = flow.report()["nodes"]["ws"]["faults"]
            assert faults["ws.receive_queue_full"] >= 1
            assert flow.status("ws").state is State.RUNNING
            report = flow.report()
    outcome = "rejected" if when_full == "reject" else "dropped"
    assert report["ledger"][outcome] == 90


async def test_events_tell_of_the_connection_and_of_its_end() -> None:
    def goodbye(connection: ServerConnection) -> None:
        if connection.recv() == "go":
            connection.close(4002, "enough")

    with trio.fail_after(20), serving(goodbye, subprotocols=["a"]) as port:
        value = flow_of(port, path="/x?key=secret", subprotocols=["a"])
        value["nodes"]["events"] = {"type": "test-sink"}
        value["wires"].append(["ws.connection", "events"])
        async with run_flow(value) as flow:
            events = [await flow.get("events")]
            flow.put_soon("in", Message("go"))
            events += [await flow.get("events"), await flow.get("events")]
            close = Message(None, headers={"command": "close", "code": 4003})
            assert (await flow.put("in", close)).outcome is Outcome.CONFIRMED
            events.append(await flow.get("events"))
            report = await flow.stop()
    shown = [event.payload for event in events]
    assert [event["event"] for event in shown] == ["connected", "disconnected"] * 2
    assert {event["url"] for event in shown} == {f"ws://127.0.0.1:{port}/x"}
    assert {event["subprotocol"] for event in shown} == {"a"}
    assert shown[0]["remote"] == f"127.0.0.1:{port}"
    assert events[1].headers == {"code": 4002, "reason": "enough"}
    assert (shown[1]["code"], shown[1]["reason"]) == (4002, "enough")
    assert shown[3]["code"] == 4003
    assert report["ledger"]["sources"]["ws"]["emitted"] == 4
