"""An open connection over streams in memory, with trio's clock turned by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from flowbus_websocket.channel import GRACE, Channel
from flowbus_websocket.client import Limits, Request, open_on
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.protocol.encoder import FrameEncoder
from flowbus_websocket.url import parse_url
from flowbus_websocket.welcome import Decision, answer, read_request
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair

from flowbus import Fault, Lost

Stream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]
SERVER = FrameEncoder(masked=False)


def client_channel(stream: trio.abc.Stream, **options: Any) -> Channel:
    return Limits(**options).channel(stream, is_client=True, rest=b"")


def pair(**options: Any) -> tuple[Channel, Channel]:
    here, there = memory_stream_pair()
    limits = Limits(**options)
    return (
        limits.channel(here, is_client=True, rest=b""),
        limits.channel(there, is_client=False, rest=b""),
    )


async def ending(channel: Channel) -> ConnectionEnded:
    with pytest.raises(ConnectionEnded) as caught:
        while True:
            await channel.receive()
    return caught.value


class Receipts:
    """What was posted, and what became of it."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def confirm(self) -> None:
        self.ends.append("confirmed")

    def reject(self, reason: Fault, text: str) -> None:
        self.ends.append(reason.code)


async def test_messages_go_both_ways() -> None:
    client, server = pair()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                client.send, client.encoder.message("ä") + client.encoder.message(b"b")
            )
            assert await server.receive() == ["ä", b"b"]
            nursery.start_soon(server.send, server.encoder.message("c" * 100_000))
            assert await client.receive() == ["c" * 100_000]


async def test_bytes_behind_the_handshake_are_the_first() -> None:
    here, there = memory_stream_pair()
    channel = Limits().channel(here, is_client=True, rest=SERVER.message("first"))
    with trio.fail_after(5):
        assert await channel.receive() == ["first"]
        await there.send_all(SERVER.message("second"))
        assert await channel.receive() == ["second"]


async def test_close_shakes_hands() -> None:
    client, server = pair()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.close, 1001, "bye")
            ended = await ending(server)
    assert (ended.code, ended.reason, ended.fault.code) == (1001, "bye", "ws.1001")
    assert "the peer closed" in ended.text


async def test_a_violation_is_answered_with_its_code() -> None:
    here, there = memory_stream_pair()
    with trio.fail_after(5):
        await there.send_all(SERVER.message("before") + b"\xf1\x00" + SERVER.message("after"))
        channel = client_channel(here)
        assert await channel.receive() == ["before"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(there.send_eof)
            ended = await ending(channel)
        assert (ended.code, ended.fault.code) == (1002, "ws.protocol_error")
        sent = await there.receive_some()
        assert sent[0] == 0x88


@pytest.mark.parametrize(
    ("frame", "fault", "code"),
    [
        (SERVER.message(b"x" * 101), "ws.message_too_big", 1009),
        (b"\x81\x01\xff", "ws.1007", 1007),
        (SERVER.close(1005), "ws.1005", 1005),
        (SERVER.close(4000, "own"), "ws.4000", 4000),
        (SERVER.close(1013), "ws.1013", 1013),
    ],
)
async def test_each_end_has_its_fault(frame: bytes, fault: str, code: int) -> None:
    here, there = memory_stream_pair()
    with trio.fail_after(5):
        await there.send_all(frame)
        await there.send_eof()
        ended = await ending(client_channel(here, max_receive_message=100))
    assert (ended.fault.code, ended.code) == (fault, code)


async def test_hanging_up_is_1006_and_a_broken_stream_is_lost() -> None:
    here, there = memory_stream_pair()
    with trio.fail_after(5):
        await there.send_eof()
        assert (await ending(client_channel(here))).fault.code == "ws.1006"

        async def broken() -> None:
            raise trio.BrokenResourceError from ConnectionResetError(104, "reset by peer")

        here, there = memory_stream_pair()
        here.receive_stream.receive_some_hook = broken
        ended = await ending(client_channel(here))
        assert (ended.fault.code, ended.code) == ("ws.connection_lost", 1006)
        assert "reset by peer" in ended.text


async def test_a_peer_that_sends_close_and_keeps_tcp_open_is_left(
    autojump_clock: MockClock,
) -> None:
    here, there = memory_stream_pair()
    await there.send_all(SERVER.close(1000))
    start = trio.current_time()
    ended = await ending(client_channel(here, close_timeout=5.0))
    assert ended.code == 1000
    assert trio.current_time() - start == 5.0


async def test_closing_a_silent_peer_is_bounded(autojump_clock: MockClock) -> None:
    here, _ = memory_stream_pair()
    channel = client_channel(here, close_timeout=3.0)
    start = trio.current_time()
    with trio.move_on_after(1):
        await channel.close(1000)
    assert trio.current_time() - start == 3.0


async def test_ping_is_answered_while_a_message_waits_to_be_read() -> None:
    here, there = memory_stream_pair()
    channel = client_channel(here)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.attend)
            await there.send_all(SERVER.ping(b"1") + SERVER.ping(b"2") + SERVER.message("m"))
            assert await channel.receive() == ["m"]
            server = Limits().channel(there, is_client=False, rest=b"")
            async with trio.open_nursery() as reading:
                reading.start_soon(ending, server)
                reading.start_soon(channel.close, 1000)
            assert server.bytes_in == 2 * (2 + 4 + 1) + 2 + 4 + 2
            nursery.cancel_scope.cancel()


async def test_a_peer_that_does_not_read_does_not_stop_the_receiver() -> None:
    here, there = memory_stream_pair()
    stuck = trio.Event()

    async def never() -> None:
        stuck.set()
        await trio.sleep_forever()

    here.send_stream.send_all_hook = never
    channel = client_channel(here)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.attend)
            await there.send_all(SERVER.ping() * 1000 + SERVER.message("a"))
            assert await channel.receive() == ["a"]
            await stuck.wait()
            await there.send_all(SERVER.ping() * 1000 + SERVER.message("b"))
            assert await channel.receive() == ["b"]
            nursery.cancel_scope.cancel()


async def test_posted_messages_are_told_what_became_of_them() -> None:
    client, server = pair()
    receipts = Receipts()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.attend)
            for number in range(3):
                server.post(server.encoder.message(str(number)), receipts)
            got: list[str | bytes] = []
            while len(got) < 3:
                got += await client.receive()
            assert got == ["0", "1", "2"]
            await server.wait_posted(0)
            nursery.cancel_scope.cancel()
        server.post(b"late", receipts)
        server.reject_posted(Fault("ws.x", "", "", ""), "gone")
    assert receipts.ends == ["confirmed"] * 3 + ["ws.x"]
    assert server.posted == 0


async def test_what_arrived_is_handed_on_though_sending_failed(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()

    async def broken() -> None:
        raise trio.BrokenResourceError from BrokenPipeError(32, "broken pipe")

    here.send_stream.send_all_hook = broken
    channel = client_channel(here)
    await there.send_all(SERVER.message("last words") + SERVER.close(4001, "why"))
    await there.send_eof()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.attend)
        channel.post(b"x", Receipts())
        await trio.testing.wait_all_tasks_blocked()
        assert await channel.receive() == ["last words"]
        assert (await ending(channel)).code == 4001
        nursery.cancel_scope.cancel()


async def test_a_receiver_that_hears_nothing_learns_that_sending_failed(
    autojump_clock: MockClock,
) -> None:
    here, _there = memory_stream_pair()

    async def broken() -> None:
        raise trio.BrokenResourceError

    here.send_stream.send_all_hook = broken
    channel = client_channel(here)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.attend)
        channel.post(b"x", Receipts())
        assert (await ending(channel)).fault.code == "ws.connection_lost"
        assert trio.current_time() - start == GRACE
        nursery.cancel_scope.cancel()


async def test_no_frame_follows_one_that_was_torn() -> None:
    here, there = memory_stream_pair()
    channel = client_channel(here)
    with trio.fail_after(5):
        with trio.CancelScope() as scope:

            async def torn() -> None:
                scope.cancel()
                await trio.lowlevel.checkpoint()

            here.send_stream.send_all_hook = torn
            await channel.send(channel.encoder.message("half"))
        here.send_stream.send_all_hook = None
        await channel.close(1001)
        assert len(await there.receive_some()) == len(channel.encoder.message("half"))


# ---- keep-alive


async def attended(channel: Channel, task: Callable[[], Awaitable[Any]]) -> Any:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.attend)
        nursery.start_soon(channel.keep_alive)
        result = await task()
        nursery.cancel_scope.cancel()
    return result


async def test_a_silent_peer_is_given_up(autojump_clock: MockClock) -> None:
    here, _there = memory_stream_pair()
    channel = client_channel(here, keepalive_interval=20, keepalive_timeout=10)
    start = trio.current_time()
    ended = await attended(channel, lambda: ending(channel))
    assert ended.fault.code == "ws.keepalive_timed_out"
    assert trio.current_time() - start == 30


async def test_what_we_send_ourselves_is_no_sign_of_life(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    channel = client_channel(here, keepalive_interval=20, keepalive_timeout=10)
    start = trio.current_time()

    async def talk() -> None:
        while True:
            await channel.send(channel.encoder.message("x"))
            assert await there.receive_some()
            await trio.sleep(3.3)

    async def until_given_up() -> ConnectionEnded:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            ended = await ending(channel)
            nursery.cancel_scope.cancel()
        return ended

    ended = await attended(channel, until_given_up)
    assert ended.fault.code == "ws.keepalive_timed_out"
    assert trio.current_time() - start == 30


async def test_a_peer_that_answers_stays(autojump_clock: MockClock) -> None:
    client, server = pair(keepalive_interval=20, keepalive_timeout=10)

    async def hour() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending, client)
            nursery.start_soon(server.attend)
            with trio.move_on_after(3600):
                await server.receive()
            nursery.cancel_scope.cancel()

    await attended(client, hour)
    assert server.bytes_in >= 170 * 6


async def test_a_full_flow_suspends_the_keep_alive(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    channel = client_channel(here, keepalive_interval=20, keepalive_timeout=10)
    await there.send_all(SERVER.message("a"))

    async def slow() -> None:
        assert await channel.receive() == ["a"]
        await trio.sleep(1000)
        await there.send_all(SERVER.message("b"))
        assert await channel.receive() == ["b"]

    await attended(channel, slow)


# ---- the handshake over streams


async def test_client_and_server_open_a_connection() -> None:
    here, there = memory_stream_pair()

    async def serve() -> None:
        request = await read_request(there)
        assert request.header("authorization") == "x"
        await answer(there, request, Decision(subprotocol=request.subprotocols[1]))

    request = Request(
        address=parse_url("ws://h/p"), subprotocols=("a", "b"), headers=(("Authorization", "x"),)
    )
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            assert (await open_on(here, request)).subprotocol == "b"


async def test_a_silent_server_is_given_up(autojump_clock: MockClock) -> None:
    here, _there = memory_stream_pair()
    with pytest.raises(Lost) as caught:
        await open_on(here, Request(address=parse_url("ws://h"), response_timeout=7))
    assert caught.value.fault.code == "ws.response_timed_out"
    assert trio.current_time() - autojump_clock.current_time() <= 7


async def test_no_limit_for_the_response(autojump_clock: MockClock) -> None:
    here, _there = memory_stream_pair()
    with trio.move_on_after(10_000) as scope:
        await open_on(here, Request(address=parse_url("ws://h"), response_timeout=0))
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, "ws.authentication_refused"),
        (403, "ws.access_denied"),
        (404, "ws.response_status"),
        (503, "ws.response_status"),
    ],
)
async def test_a_refusal_has_its_fault(status: int, fault: str) -> None:
    here, there = memory_stream_pair()

    async def refuse() -> None:
        request = await read_request(there)
        with pytest.raises(Lost):
            await answer(there, request, Decision(status=status, text="no"))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)
            with pytest.raises(Lost) as caught:
                await open_on(here, Request(address=parse_url("ws://h")))
            await here.aclose()
    assert caught.value.fault.code == fault


async def test_require_subprotocol() -> None:
    here, there = memory_stream_pair()

    async def serve() -> None:
        await answer(there, await read_request(there), Decision())

    request = Request(address=parse_url("ws://h"), subprotocols=("a",), require_subprotocol=True)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            with pytest.raises(Lost) as caught:
                await open_on(here, request)
    assert caught.value.fault.code == "ws.subprotocol_refused"


async def test_garbage_is_answered_400_at_once() -> None:
    here, there = memory_stream_pair()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                with pytest.raises(Lost, match="answered 400"):
                    await read_request(there)

            nursery.start_soon(serve)
            await here.send_all(b"\x16\x03\x01 garbage")
            assert (await here.receive_some()).startswith(b"HTTP/1.1 400 ")
            await here.aclose()
