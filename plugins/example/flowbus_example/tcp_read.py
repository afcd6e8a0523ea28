"""An I/O node: an async function that opens, works, and raises when its peer is gone."""

from typing import Annotated

import trio
from msgspec import Meta

from flowbus import Config, Fault, Lost, Message, NodeIO, io_node

CLOSED = Fault(
    "example.closed", "peer closed",
    "The TCP peer closed the connection.", "Look at the peer's log; flowbus dials again by itself.",
)  # fmt: skip
FAULTS = (CLOSED,)


class TcpRead(Config):
    """Emit each chunk of bytes that a TCP peer sends."""

    host: Annotated[str, Meta(min_length=1, description="Name or address of the peer.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the peer.")]


@io_node("tcp-read")
async def tcp_read(config: TcpRead, io: NodeIO) -> None:
    """Emit each chunk of bytes that a TCP peer sends."""
    async with await trio.open_tcp_stream(config.host, config.port) as stream:
        io.connected(f"{config.host}:{config.port}")
        async for chunk in stream:
            await io.send(Message(bytes(chunk)))
    raise Lost(CLOSED)
