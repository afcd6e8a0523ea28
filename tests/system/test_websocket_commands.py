"""What commands do to a websocket-client, seen by servers of the websockets library."""

from __future__ import annotations

import socket
import threading

import pytest
import trio
import trio.testing
from flowbus_websocket.faults import FAULTS
from flowbus_websocket.protocol.answer import Answering, accept

from flowbus import Message, Outcome, State
from flowbus.supervisor import RestartPolicy
from flowbus.testing import Flow, run_flow
from tests.system.peers import free_port
from tests.system.visitors import Visitors, command
from tests.system.websocket_servers import echo, flow_of, listening, serving

pytestmark = pytest.mark.system


async def confirmed(flow: Flow, message: Message) -> None:
    end = await flow.put("in", message)
    assert (end.outcome, end.code, end.text) == (Outcome.CONFIRMED, "", "")


async def refused(flow: Flow, message: Message) -> tuple[str, str]:
    end = await flow.put("in", message)
    assert end.outcome is Outcome.REJECTED
    assert end.code in {fault.code for fault in FAULTS}
    return end.code, end.text


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (command("close"), 1000, ""),
        (command("close", code=4001, reason="shift ends"), 4001, "shift ends"),
        (command("close", {"code": 3000, "reason": "in the payload"}), 3000, "in the payload"),
        (command("close", {"code": 3000, "reason": "x"}, code=1001), 1001, "x"),
    ],
)
async def test_close_says_goodbye_and_the_client_stays_closed(
    message: Message, code: int, reason: str
) -> None:
    visitors = Visitors()
    with trio.fail_after(20), serving(visitors.handle) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            flow.put_soon("in", Message("before"))
            await confirmed(flow, message)
            status = await flow.wait_code("ws", "ws.closed")
            assert status.state is State.DEGRADED
            assert f"{code} {reason}".strip() in status.text
            await trio.to_thread.run_sync(visitors.gone.wait, 5)
            assert await refused(flow, Message("after")) == ("ws.not_connected", status.text)
            assert await refused(flow, command("ping")) == (
                "ws.not_connected",
                "there is no connection to ping by",
            )
            await confirmed(flow, command("close", code=1001))
            report = await flow.stop()
    assert visitors.got == ["before"]
    assert visitors.left == [(code, reason)]
    assert report["nodes"]["ws"]["restarts"] == 0
    assert report["ledger"]["in_flight"] == 0


async def test_what_the_server_sends_before_its_own_goodbye_is_received() -> None:
    def last_words(connection: socket.socket) -> None:
        request = Answering().receive(connection.recv(4096))
        assert request is not None
        connection.sendall(accept(request))
        assert connection.recv(4096)[0] == 0x88
        connection.sendall(b"\x81\x04last\x81\x05words\x88\x02\x03\xe8")

    with trio.fail_after(20), listening(last_words) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            await confirmed(flow, command("close"))
            assert [(await flow.get("out")).payload for _ in range(2)] == ["last", "words"]


async def test_a_server_that_does_not_say_goodbye_is_left_all_the_same() -> None:
    release = threading.Event()

    def mute(connection: socket.socket) -> None:
        request = Answering().receive(connection.recv(4096))
        assert request is not None
        connection.sendall(accept(request))
        release.wait(10)

    with trio.fail_after(20), listening(mute) as port:
        try:
            async with run_flow(flow_of(port, close_timeout=0.1)) as flow:
                await flow.wait_running("ws")
                await confirmed(flow, command("close"))
                await flow.wait_code("ws", "ws.closed")
        finally:
            release.set()


async def test_connect_opens_it_again_with_what_it_brings() -> None:
    first, second = Visitors(), Visitors()
    options = {"headers": {"Authorization": "Bearer old", "X-Line": "3"}}
    with trio.fail_after(20), serving(first.handle) as port, serving(second.handle) as other:
        async with run_flow(flow_of(port, **options)) as flow:
            await flow.wait_running("ws")
            await confirmed(flow, command("connect"))  # it is connected
            await confirmed(flow, command("close"))
            await confirmed(flow, command("connect", token="new"))
            await flow.wait_running("ws")
            await confirmed(flow, command("connect", {"url": f"ws://localhost:{other}/b?key=x"}))
            assert flow.status("ws").text == f"ws://localhost:{other}/b"
            await confirmed(flow, command("connect", headers={"X-Line": "4"}))
            await confirmed(flow, command("connect", url=None, headers=None, token=None))
            await confirmed(flow, Message("x"))
            assert (await flow.get("out")).payload == "x"
            report = await flow.stop()
    seen = [(h.get("Authorization"), h.get("X-Line")) for h in first.headers]
    assert seen == [("Bearer old", "3"), ("Bearer new", "3"), ("Bearer old", "3")]
    seen = [(h.get("Authorization"), h.get("X-Line")) for h in second.headers]
    assert seen == [("Bearer new", "3"), ("Bearer new", "4")]
    assert first.left == [(1000, ""), (1000, "connects anew"), (1001, "the flow stops")]
    assert second.left == [(1000, "connects anew")] * 2
    assert report["nodes"]["ws"]["restarts"] == 0


async def test_messages_keep_their_order_around_a_connect() -> None:
    first, second = Visitors(), Visitors()
    with trio.fail_after(20), serving(first.handle) as port, serving(second.handle) as other:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            for number in range(40):
                flow.put_soon("in", Message(f"{number}"))
            flow.put_soon("in", command("connect", url=f"ws://127.0.0.1:{other}"))
            for number in range(40, 80):
                flow.put_soon("in", Message(f"{number}"))
            while (await flow.get("out")).payload != "79":
                pass
            report = await flow.stop()
    assert first.got == [f"{number}" for number in range(40)]
    assert second.got == [f"{number}" for number in range(40, 80)]
    assert report["ledger"]["rejected"] == 0


async def test_a_connect_that_fails_is_rejected_and_tried_again() -> None:
    port = free_port()
    visitors = Visitors()
    with trio.fail_after(20), serving(echo) as first:
        async with run_flow(flow_of(first)) as flow:
            await flow.wait_running("ws")
            code, text = await refused(flow, command("connect", url=f"ws://127.0.0.1:{port}"))
            assert code == "ws.connection_refused"
            assert f"127.0.0.1:{port}" in text
            with serving(visitors.handle, port=port):
                await flow.wait_running("ws")  # what a command asked for outlives restarts
                await confirmed(flow, Message("x"))
                assert flow.status("ws").text == f"ws://127.0.0.1:{port}/"
                await flow.stop()


async def test_while_there_is_no_connection_commands_overtake_what_waits_for_one() -> None:
    port = free_port()
    visitors = Visitors()
    with trio.fail_after(20), serving(visitors.handle) as good:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_code("ws", "ws.connection_refused")
            for number in range(10):
                flow.put_soon("in", Message(f"{number}"))
            await confirmed(flow, command("connect", url=f"ws://127.0.0.1:{good}"))
            got = [(await flow.get("out")).payload for _ in range(10)]
            assert got == [f"{number}" for number in range(10)]
            await flow.stop()


async def test_a_command_does_not_wait_for_the_next_attempt() -> None:
    patient = RestartPolicy(first_delay=1000, max_delay=1000, jitter=lambda: 1.0)
    with trio.fail_after(20), serving(echo) as good:
        async with run_flow(flow_of(free_port()), policy=patient) as flow:
            await flow.wait_code("ws", "ws.connection_refused")
            assert (await refused(flow, command("ping")))[0] == "ws.not_connected"
            await flow.wait_code("ws", "ws.connection_refused")
            await confirmed(flow, command("connect", url=f"ws://127.0.0.1:{good}"))
            await confirmed(flow, Message("x"))
            assert (await flow.get("out")).payload == "x"


async def test_close_ends_the_attempts() -> None:
    with trio.fail_after(20):
        async with run_flow(flow_of(free_port())) as flow:
            await flow.wait_code("ws", "ws.connection_refused")
            await confirmed(flow, command("close", reason="enough"))
            await flow.wait_code("ws", "ws.closed")
            await refused(flow, Message("x"))


async def test_a_command_interrupts_an_attempt_without_a_limit() -> None:
    release = threading.Event()
    with trio.fail_after(20), listening(lambda connection: release.wait(10) and None) as port:
        try:
            async with run_flow(flow_of(port, response_timeout=0, connect_timeout=0)) as flow:
                assert (await refused(flow, command("ping")))[0] == "ws.not_connected"
                flow.put_soon("in", command("connect", token="a"))
                flow.put_soon("in", command("connect", token="b"))
                await confirmed(flow, command("close"))
                await flow.wait_code("ws", "ws.closed")
                report = await flow.stop()
        finally:
            release.set()
    assert report["ledger"]["rejected"] == 3
    assert report["ledger"]["in_flight"] == 0


async def test_ping_ends_with_its_answer() -> None:
    with trio.fail_after(20), serving(echo) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            await confirmed(flow, command("ping"))
            await confirmed(flow, command("ping", b"\x00" * 125, deadline=5))
            await confirmed(flow, command("ping", {"payload": "here", "deadline": 5}))


async def test_a_ping_that_the_end_of_the_connection_overtakes_is_rejected() -> None:
    release = threading.Event()

    def mute(connection: socket.socket) -> None:
        request = Answering().receive(connection.recv(4096))
        assert request is not None
        connection.sendall(accept(request))
        release.wait(10)

    with trio.fail_after(20), listening(mute) as port:
        try:
            async with run_flow(flow_of(port, close_timeout=0.1)) as flow:
                await flow.wait_running("ws")
                flow.put_soon("in", command("ping"))
                await confirmed(flow, command("close"))
                await flow.wait_settled()
                report = await flow.stop()
        finally:
            release.set()
    assert report["ledger"]["rejected"] == 1
    assert report["nodes"]["ws"]["faults"] == {"ws.not_connected": 1}


async def test_a_ping_without_an_answer_is_rejected_at_its_deadline() -> None:
    release = threading.Event()
    seen: list[bytes] = []

    def mute(connection: socket.socket) -> None:
        request = Answering().receive(connection.recv(4096))
        assert request is not None
        connection.sendall(accept(request))
        seen.append(connection.recv(4096))
        connection.sendall(b"\x8a\x05wrong")
        release.wait(10)

    with trio.fail_after(20), listening(mute) as port:
        try:
            async with run_flow(flow_of(port, close_timeout=0.1)) as flow:
                await flow.wait_running("ws")
                code, text = await refused(flow, command("ping", "right", deadline=0.2))
                assert (code, text) == (
                    "ws.ping_unanswered",
                    f"ws://127.0.0.1:{port}/ did not answer within 0.2 s",
                )
                assert flow.status("ws").state is State.RUNNING
        finally:
            release.set()
    assert seen[0][:2] == b"\x89\x85"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (command("open"), "no command 'open'; known: close, connect, ping"),
        (command(5), "no command 5"),  # type: ignore[arg-type]
        (command("close", code=1005), "code: 1005 cannot be sent"),
        (command("close", code=1006), "code: 1006 cannot be sent"),
        (command("close", code=1015), "code: 1015 cannot be sent"),
        (command("close", code=99), "code: 99 cannot be sent"),
        (command("close", code="1000"), "command close: code: expected int, got str"),
        (command("close", reason="ä" * 62), "reason: has 124 bytes, at most 123 fit"),
        (
            command("close", {"cod": 1000}),
            "command close: there is no argument 'cod'; known: code, reason",
        ),
        (command("connect", url="http://h"), "command connect: url: the scheme is 'http'"),
        (command("connect", url="ws://u:secret@h"), "a user or password in the URL"),
        (command("connect", url="wss://h/", token=5), "token: expected str | null, got int"),
        (command("connect", headers={"Upgrade": "x"}), "Upgrade belongs to the handshake"),
        (
            command("connect", headers={"a": "x\r\nHost: y"}),
            "the value of a has control characters",
        ),
        (
            command("connect", token="\udfff"),
            "the value of Authorization cannot be written in UTF-8",
        ),
        (command("close", reason="\ud800"), "reason: has half a surrogate pair"),
        (command("connect", headers={"a": 1}), "headers[...]: expected str, got int"),
        (command("ping", "x" * 126), "command ping: payload: has 126 bytes, at most 125 fit"),
        (command("ping", deadline=0), "command ping: deadline: expected float > 0.0"),
        (command("ping", object()), "has no form in JSON"),
    ],
)
async def test_what_is_wrong_with_a_command_is_said(message: Message, text: str) -> None:
    visitors = Visitors()
    with trio.fail_after(20), serving(visitors.handle) as port:
        async with run_flow(flow_of(port)) as flow:
            await flow.wait_running("ws")
            code, said = await refused(flow, message)
            assert code == ("ws.bad_payload" if "JSON" in text else "ws.bad_command")
            assert text in said
            assert "secret" not in said
            await confirmed(flow, Message("still there"))
            await flow.stop()
    assert visitors.left == [(1001, "the flow stops")]
