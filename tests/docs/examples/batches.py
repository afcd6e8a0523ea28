"""Many messages at a time: a source that sends what it read at once, a sink that takes what waits."""

from typing import Annotated

import trio
from msgspec import Meta

from flowbus import Config, Lost, Message, NodeIO, io_node


class Peer(Config):
    """A TCP peer."""

    host: Annotated[str, Meta(min_length=1, description="Name or address of the peer.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the peer.")]


@io_node("tcp-lines")
async def tcp_lines(config: Peer, io: NodeIO) -> None:
    """Emit each line that a TCP peer sends, without its end."""
    async with await trio.open_tcp_stream(config.host, config.port) as stream:
        io.connected(f"{config.host}:{config.port}")
        rest = b""
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            await io.send_many([Message(line) for line in lines])
    raise Lost("the peer hung up")


@io_node("tcp-write", outlets=())
async def tcp_write(config: Peer, io: NodeIO) -> None:
    """Send each payload to a TCP peer; a message is confirmed when the system has taken it."""
    async with await trio.open_tcp_stream(config.host, config.port) as stream:
        io.connected(f"{config.host}:{config.port}")
        while True:
            taken = await io.take_many()
            for delivery in taken:
                if not isinstance(delivery.message.payload, bytes):
                    delivery.reject("the payload is not bytes")
            good = [delivery for delivery in taken if delivery.open]
            await stream.send_all(b"".join([d.message.payload for d in good]))
            for delivery in good:
                delivery.confirm()
