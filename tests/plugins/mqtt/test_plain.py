"""Reading and writing a socket by its descriptor."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
from flowbus_mqtt.plain import read, write_now
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

Pair = tuple[trio.SocketStream, trio.SocketStream]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Yield both ends of a TCP connection."""
    with trio.fail_after(5):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            far = await trio.open_tcp_stream(*listener.socket.getsockname())
            near = await listener.accept()
    async with near, far:
        yield near, far


async def test_what_comes_in_parts_and_the_end(pair: Pair) -> None:
    near, far = pair
    with trio.fail_after(5):
        assert write_now(far, b"abcdef") == 6
        assert await read(near, 4) == b"abcd"
        assert await read(near, 4) == b"ef"
        await far.aclose()
        assert await read(near, 4) == b""


async def test_a_full_socket_takes_a_part_and_then_nothing(pair: Pair) -> None:
    near, far = pair
    data = b"x" * 999_983
    taken = 0
    while count := write_now(far, data):
        taken += count
        assert taken < 1 << 28
    assert taken % len(data)  # the last part did not fit
    with trio.fail_after(10):
        while taken:
            taken -= len(await read(near, 1 << 20))
        assert write_now(far, b"again") == 5


async def test_a_socket_that_is_closed_under_the_read(pair: Pair) -> None:
    near, _ = pair
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def reading() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await read(near, 10)

            nursery.start_soon(reading)
            await wait_all_tasks_blocked()
            await near.aclose()
        assert write_now(near, b"x") == 0


async def test_a_reset(pair: Pair) -> None:
    near, far = pair
    with trio.fail_after(5):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await far.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await read(near, 10)
        assert write_now(near, b"x") == 0


async def test_a_stream_that_is_no_socket_goes_the_usual_way() -> None:
    ours, theirs = memory_stream_pair()
    await theirs.send_all(b"abc")
    with trio.fail_after(5):
        assert await read(ours, 10) == b"abc"  # type: ignore[arg-type]
    assert write_now(ours, b"x") == 0  # type: ignore[arg-type]
