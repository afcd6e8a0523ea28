"""Requests of a process that was too busy to read in time: only what has not come is missing."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from flowbus_ads.link import AmsLink, served
from flowbus_ads.protocol.ams import Frame, FrameReader, encode_frame
from flowbus_ads.protocol.constants import REQUEST, RESPONSE_BIT, Command
from flowbus_ads.protocol.notifications import build_stream
from flowbus_ads.wire import Wire
from trio.testing import wait_all_tasks_blocked

from flowbus import Lost

PLC, OWN = b"\x05\x01\x02\x03\x01\x01\x53\x03", b"\x7f\x00\x00\x01\x01\x01\xe8\x80"
TIMEOUT = 0.05
ROOM = 400 << 10
"""Bytes that the socket holds while nobody reads; more than one read of the link takes."""


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[AmsLink, socket.socket]]:
    """A link, and the other side of its TCP connection, which does what the test says."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        own.connect(listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            link = AmsLink(Wire(own), "the plc", OWN[:6])
            link.expect(TIMEOUT)
            async with served(link):
                yield link, peer


def answer(request: bytes) -> bytes:
    (frame,) = FrameReader().feed(request)
    flags = REQUEST | RESPONSE_BIT
    return encode_frame(Frame(OWN, PLC, frame.command, flags, 0, frame.invoke_id, b"here"))


def notification(size: int) -> bytes:
    stream = build_stream([(1, [(1, bytes(size))])])
    return encode_frame(Frame(OWN, PLC, Command.NOTIFICATION, REQUEST, 0, 0, stream))


async def test_an_answer_that_came_while_the_process_was_busy_is_no_timeout() -> None:
    heard: list[int] = []
    answers: list[bytes] = []
    with trio.fail_after(10):
        async with linked() as (link, peer), trio.open_nursery() as nursery:
            link.notes.add(PLC, 1, lambda filetime, value: heard.append(len(value)))

            async def ask() -> None:
                answers.append(await link.request(PLC, OWN, Command.READ_STATE, b"", TIMEOUT))

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            request = peer.recv(1000)
            peer.sendall(notification(300 << 10) + answer(request))  # two reads of the link
            time.sleep(3 * TIMEOUT)  # the process is busy
    assert answers == [b"here"]
    assert heard == [300 << 10]
    assert link.late_answers == 0


async def test_data_that_keeps_coming_does_not_hide_a_missing_answer() -> None:
    with trio.fail_after(10):
        async with linked() as (link, peer), trio.open_nursery() as nursery:
            link.notes.add(PLC, 1, lambda filetime, value: None)

            async def stream() -> None:
                while True:
                    await trio.to_thread.run_sync(peer.sendall, notification(100))
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(stream)
            with pytest.raises(Lost, match=r"ads.timeout"):
                await link.request(PLC, OWN, Command.READ_STATE, b"", TIMEOUT)
            nursery.cancel_scope.cancel()
