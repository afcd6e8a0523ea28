"""The listening sockets of a server, and what is set on those of its clients."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest
import trio
from flowbus_websocket.server.listening import Listening
from flowbus_websocket.server.sockets import (
    Place,
    Tuning,
    host_in,
    local_of,
    open_listeners,
    port_of,
    remote_of,
)

from flowbus import Fault, Lost

TCP, LEVEL = socket.IPPROTO_TCP, socket.SOL_SOCKET


async def families(host: str, ipv6: str) -> list[str]:
    listeners = await open_listeners(Place(host, 0, ipv6), Tuning())  # type: ignore[arg-type]
    try:
        assert len({port_of([listener]) for listener in listeners}) == 1
        return sorted(str(listener.socket.getsockname()[0]) for listener in listeners)
    finally:
        for listener in listeners:
            await listener.aclose()


@pytest.mark.parametrize(
    ("host", "ipv6", "addresses"),
    [
        ("127.0.0.1", "both", ["127.0.0.1"]),
        ("*", "no", ["0.0.0.0"]),
        ("*", "only", ["::"]),
        ("*", "both", ["0.0.0.0", "::"]),
        ("::1", "only", ["::1"]),
    ],
)
async def test_addresses_that_are_listened_on(host: str, ipv6: str, addresses: list[str]) -> None:
    with trio.fail_after(10):
        assert await families(host, ipv6) == addresses


@pytest.mark.parametrize(("host", "ipv6"), [("127.0.0.1", "only"), ("::1", "no")])
async def test_a_host_of_the_other_family(host: str, ipv6: str) -> None:
    with trio.fail_after(10), pytest.raises(Lost) as caught:
        await families(host, ipv6)
    assert caught.value.fault.code == "ws.bind_address_invalid"
    assert "of IPv" in caught.value.text


async def accepted(tuning: Tuning) -> trio.SocketStream:
    listeners = await open_listeners(Place("127.0.0.1", 0), tuning)
    client = await trio.open_tcp_stream("127.0.0.1", port_of(listeners))
    stream = await listeners[0].accept()
    tuning.tune(stream.socket)
    await client.aclose()
    await listeners[0].aclose()
    return stream


async def test_options_of_a_clients_socket() -> None:
    tuning = Tuning(
        nodelay=False,
        keepalive_time=77,
        keepalive_interval=7,
        receive_buffer=20_000,
        send_buffer=30_000,
    )
    with trio.fail_after(10):
        async with await accepted(tuning) as stream:
            option = stream.socket.getsockopt
            assert option(LEVEL, socket.SO_KEEPALIVE) == 1
            assert option(TCP, socket.TCP_KEEPIDLE) == 77
            assert option(TCP, socket.TCP_KEEPINTVL) == 7
            assert option(TCP, socket.TCP_NODELAY) == 0
            # Linux doubles what is asked for, to have room for its own records (man 7 socket).
            assert option(LEVEL, socket.SO_RCVBUF) == 40_000
            assert option(LEVEL, socket.SO_SNDBUF) == 60_000
        async with await accepted(Tuning()) as stream:
            assert stream.socket.getsockopt(TCP, socket.TCP_NODELAY) == 1
            assert stream.socket.getsockopt(LEVEL, socket.SO_KEEPALIVE) == 0


async def test_the_backlog_bounds_who_waits() -> None:
    listeners = await open_listeners(Place("127.0.0.1", 0), Tuning(backlog=1))
    streams: list[trio.SocketStream] = []
    try:
        # Nobody accepts: Linux completes backlog + 1 connections and leaves the others unanswered.
        with trio.move_on_after(1) as scope:
            for _ in range(5):
                streams.append(await trio.open_tcp_stream("127.0.0.1", port_of(listeners)))
        assert scope.cancelled_caught
        assert len(streams) == 2
    finally:
        await close(streams)
        await listeners[0].aclose()


async def close(streams: Iterable[trio.SocketStream]) -> None:
    for stream in streams:
        await trio.aclose_forcefully(stream)


async def test_addresses_as_they_are_shown() -> None:
    with trio.fail_after(10):
        for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
            listeners = await open_listeners(Place(host, 0), Tuning())
            client = await trio.open_tcp_stream(host, port_of(listeners))
            stream = await listeners[0].accept()
            assert local_of(stream) == f"{shown}:{port_of(listeners)}"
            assert remote_of(stream) == f"{shown}:{client.socket.getsockname()[1]}"
            assert host_in(remote_of(stream)) == host
            await stream.aclose()
            await client.aclose()
            await listeners[0].aclose()
            assert remote_of(stream) == local_of(stream) == ""


async def test_listening_can_be_stopped_and_taken_up_on_the_same_port() -> None:
    served = 0
    changes: list[bool] = []
    faults: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        await stream.aclose()

    def on_fault(fault: Fault, text: str) -> None:
        faults.append(fault.code)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            door = Listening(
                Place("127.0.0.1", 0),
                Tuning(),
                serve,
                on_fault=on_fault,
                on_change=lambda: changes.append(door.open),
                nursery=nursery,
            )
            assert (door.open, door.port) == (False, 0)
            await door.start()
            port = door.port
            for times in (1, 2):
                assert (door.open, door.port) == (True, port)
                await door.start()  # a second time changes nothing
                async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                    assert await client.receive_some() == b""
                assert served == times
                await door.stop()
                assert not door.open
                with pytest.raises(OSError, match="all attempts to connect"):
                    await trio.open_tcp_stream("127.0.0.1", port)
                if times == 1:
                    await door.start()
            nursery.cancel_scope.cancel()
    assert not faults
    assert changes == [True, False, True, False]
