"""Reading from a socket: what comes, what is left for another, and how a socket ends."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
from flowbus_websocket.reading import Reader, SocketReader, StreamReader, reader_of
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

Pair = tuple[Reader, trio.SocketStream, trio.SocketStream]


@pytest.fixture(params=[SocketReader, StreamReader])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Yield a reader, the stream that it reads from and the other end."""
    with trio.fail_after(5):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            far = await trio.open_tcp_stream(*listener.socket.getsockname())
            near = await listener.accept()
    reader = SocketReader(near.socket) if request.param is SocketReader else StreamReader(near)
    async with near, far:
        yield reader, near, far


async def read_into(got: list[bytes | None], reader: Reader) -> None:
    got.append(await reader.read())


async def test_what_comes_and_the_end(pair: Pair) -> None:
    reader, _, far = pair
    with trio.fail_after(5):
        await far.send_all(b"one")
        assert await reader.read() == b"one"
        await far.aclose()
        assert await reader.read() == b""
        assert not reader.waiting


async def test_a_held_read_takes_nothing(pair: Pair) -> None:
    reader, _, far = pair
    got: list[bytes | None] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_into, got, reader)
            await wait_all_tasks_blocked()
            assert reader.waiting
            reader.hold()
            await far.send_all(b"for another")
        assert got == [None]
        assert await reader.read() == b"for another"


async def test_a_woken_read_returns_though_nothing_comes(pair: Pair) -> None:
    reader, _, far = pair
    got: list[bytes | None] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_into, got, reader)
            await wait_all_tasks_blocked()
            reader.wake()
        assert got == [None]
        await far.send_all(b"later")
        assert await reader.read() == b"later"


async def test_a_socket_that_is_closed_under_the_read(pair: Pair) -> None:
    reader, near, _ = pair
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await reader.read()

            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            await near.aclose()
        assert not reader.waiting


async def test_a_reset(pair: Pair) -> None:
    reader, _, far = pair
    with trio.fail_after(5):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await far.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await reader.read()


async def test_only_a_plain_socket_is_read_by_its_descriptor(pair: Pair) -> None:
    _, near, _ = pair
    assert isinstance(reader_of(near), SocketReader)
    assert isinstance(reader_of(memory_stream_pair()[0]), StreamReader)
