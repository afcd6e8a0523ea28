"""The node websocket-client: it stays connected to one server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import trio

from flowbus import Delivery, Message, NodeIO, Rejected, io_node
from flowbus_websocket.channel import Channel
from flowbus_websocket.client import connect
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import named
from flowbus_websocket.payload import frames_of
from flowbus_websocket.protocol.codes import GOING_AWAY
from flowbus_websocket.protocol.encoder import FrameEncoder
from flowbus_websocket.settings import WebSocketClient, limits_of

_TEXT: Final = {"content_type": "text"}
_BINARY: Final = {"content_type": "binary"}
_SEND_CHUNK: Final = 65536  # bytes; messages are confirmed in groups of about this size


@io_node("websocket-client", duplex=True)
async def websocket_client(config: WebSocketClient, io: NodeIO) -> None:
    """Exchange messages with a WebSocket server: the inbox goes there, what it sends leaves by out."""
    request = config.request()
    channel, opened = await connect(request, limits_of(config), config.tls, config.connect_timeout)
    try:
        subprotocol = f", subprotocol {opened.subprotocol}" if opened.subprotocol else ""
        _say_connected(io, config, f"{request.address}{subprotocol}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.attend)
            nursery.start_soon(channel.keep_alive)
            nursery.start_soon(_send, io, channel)
            await _receive(io, channel)
    finally:
        await channel.close(GOING_AWAY, "the flow stops")


def _say_connected(io: NodeIO, config: WebSocketClient, text: str) -> None:
    if config.tls is not None and not config.tls.verify:
        io.degraded(
            named("tls_not_verified"), f"{text}; the certificate is not checked (tls.verify)"
        )
    else:
        io.connected(text)


async def _receive(io: NodeIO, channel: Channel) -> None:
    send_many, receive = io.send_many, channel.receive
    while True:
        payloads = await receive()
        # All at once: what has been received is the flow's even if the connection is lost now.
        await send_many([Message(p, "", _TEXT if type(p) is str else _BINARY) for p in payloads])


async def _send(io: NodeIO, channel: Channel) -> None:
    try:
        while True:
            for frames, deliveries in _chunks(await io.take_many(), channel.encoder):
                await channel.send(frames)
                for delivery in deliveries:
                    delivery.confirm()
    except ConnectionEnded as ended:
        await channel.fail(ended)


def _chunks(
    deliveries: list[Delivery], encoder: FrameEncoder
) -> Iterator[tuple[bytes, list[Delivery]]]:
    """Yield the frames of many messages in chunks, each with the messages that are in it."""
    frames: list[bytes] = []
    size = 0
    chunk: list[Delivery] = []
    for delivery in deliveries:
        try:
            frames.append(frames_of(delivery.message, encoder))
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
            continue
        chunk.append(delivery)
        size += len(frames[-1])
        if size >= _SEND_CHUNK:
            yield b"".join(frames), chunk
            frames, chunk, size = [], [], 0
    if frames:
        yield b"".join(frames), chunk
