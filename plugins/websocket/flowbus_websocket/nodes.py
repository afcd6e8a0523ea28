"""The two nodes: a client that stays connected, a server for many clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import trio

from flowbus import ConfigError, Delivery, Lost, Message, NodeIO, Rejected, io_node
from flowbus_websocket.channel import Channel
from flowbus_websocket.client import connect
from flowbus_websocket.dial import reason_of_tls, tls_fault_of
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import named
from flowbus_websocket.listen import accept_all, open_listeners, port_of
from flowbus_websocket.payload import frames_of
from flowbus_websocket.protocol.answer import Request
from flowbus_websocket.protocol.codes import GOING_AWAY
from flowbus_websocket.protocol.encoder import FrameEncoder
from flowbus_websocket.server import Decide, Rules, Server
from flowbus_websocket.settings import WebSocketClient, WebSocketServer, limits_of
from flowbus_websocket.welcome import Decision

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


@io_node("websocket-server", outlets=("out", "connection"), duplex=True, listens=True)
async def websocket_server(config: WebSocketServer, io: NodeIO) -> None:
    """Serve WebSocket clients.

    What they send leaves by ``out`` with ``headers.connection`` and ``headers.remote``. A message
    with ``headers.connection`` (an id or a list of ids) goes to those clients, without it to all.
    Who comes and goes leaves by ``connection``.
    """
    server = Server(io, _rules(config), _decide_by(config))
    listeners = await open_listeners(config.host, config.port)
    io.details(lambda: {"connections": [c.as_dict() for c in server.clients.values()]})
    async with trio.open_nursery() as nursery:
        try:
            for listener in listeners:
                nursery.start_soon(accept_all, listener, nursery, server.serve, io.fault)
            nursery.start_soon(server.keep_alive)
            io.connected(f"listening on {_place(config, port_of(listeners))}")
            while True:
                for delivery in await io.take_many():
                    await server.post(delivery)
                # Let the clients' queues empty before the next batch.
                await trio.lowlevel.checkpoint()
        finally:
            for listener in listeners:
                await trio.aclose_forcefully(listener)


def _rules(config: WebSocketServer) -> Rules:
    try:
        context = config.tls.server_context() if config.tls is not None else None
    except ConfigError as error:
        # A file may be put right, or replaced, while the flow runs.
        raise Lost(tls_fault_of(error), reason_of_tls(error)) from error
    return Rules(
        limits=limits_of(config),
        max_connections=config.max_connections,
        handshake_timeout=config.handshake_timeout,
        send_queue=config.send_queue,
        slow_client=config.slow_client,
        tls=context,
    )


def _decide_by(config: WebSocketServer) -> Decide:
    async def decide(request: Request) -> Decision:
        if config.path is not None and request.path != config.path:
            text = f"nothing is served at {request.path}"
            return Decision(status=404, fault=named("wrong_path"), text=text)
        return Decision()

    return decide


def _place(config: WebSocketServer, port: int) -> str:
    scheme = "ws" if config.tls is None else "wss"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{scheme}://{host}:{port}{config.path or '/'}"
