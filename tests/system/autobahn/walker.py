"""A client that walks the cases of Autobahn's fuzzing server, and echoes what each sends."""

from __future__ import annotations

import trio
from flowbus_websocket.client import Limits, Request, connect
from flowbus_websocket.compression import Compression
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.outgoing import frames_of
from flowbus_websocket.url import parse_url

from flowbus import Message

AGENT = "flowbus"
COMPRESSION = Compression()
LIMITS = Limits(
    max_receive_message=64 << 20,
    max_send_frame=1 << 20,
    keepalive_interval=0,
    compression=COMPRESSION,
    compress_min=1,
)


async def walk(port: int) -> int:
    """Walk all cases; returns how many there were."""
    count = await _case_count(port)
    for number in range(1, count + 1):
        await _echo(port, f"/runCase?case={number}&agent={AGENT}")
    await _echo(port, f"/updateReports?agent={AGENT}")
    return count


async def _case_count(port: int) -> int:
    answers: list[str] = []
    await _echo(port, "/getCaseCount", answers)
    return int(answers[0])


async def _echo(port: int, path: str, answers: list[str] | None = None) -> None:
    """Echo what comes until the server closes, or keep it in ``answers``."""
    request = Request(
        address=parse_url(f"ws://127.0.0.1:{port}{path}"), offers=(COMPRESSION.offer(),)
    )
    channel = (await connect(request, LIMITS, None, 10)).channel
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.attend)
        try:
            while True:
                for item in await channel.receive():
                    if answers is not None:
                        answers.append(str(item))
                    else:
                        await channel.send(frames_of(Message(item), channel.encoder))
        except ConnectionEnded:
            nursery.cancel_scope.cancel()
        finally:
            await channel.close(1000)
