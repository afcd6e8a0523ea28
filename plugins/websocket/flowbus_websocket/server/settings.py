"""The options of the server."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from flowbus import TLS, ByteSize
from flowbus_websocket.settings import OpenConnection, Seconds


class WebSocketServer(OpenConnection):
    """Serve WebSocket clients: take their messages, and send to one, several or all of them."""

    host: Annotated[
        str, Meta(description="Address to listen on; 0.0.0.0 for all IPv4 addresses, :: for IPv6.")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0: any, shown in the status.")
    ]
    path: Annotated[
        str | None,
        Meta(description="The only path served, without a query; another one is answered 404."),
    ] = None
    tls: Annotated[TLS | None, Meta(description="Serve wss:// with this certificate and key.")] = (
        None
    )
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Clients at once; the next one is answered 503.")
    ] = 1000
    handshake_timeout: Annotated[
        Seconds, Meta(description="Seconds for TLS and the request of a client; 0: no limit.")
    ] = 10.0
    max_receive_frame: Annotated[
        ByteSize | None,
        Meta(description="Largest frame taken, in bytes; without it the limit of messages."),
    ] = None
    max_send_frame: Annotated[
        ByteSize, Meta(description="Larger messages are sent in fragments of this size, in bytes.")
    ] = 1 << 17
    send_queue: Annotated[
        ByteSize, Meta(description="Bytes that may wait for one client; see slow_client.")
    ] = 1 << 20
    slow_client: Annotated[
        Literal["wait", "drop", "close"],
        Meta(
            description="When a client's send queue is full: reject what is for it (drop), close it "
            "with 1008 (close), or let all senders wait for it (wait)."
        ),
    ] = "drop"

    def __post_init__(self) -> None:
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r} does not begin with /")
        if self.tls is not None and self.tls.cert is None:
            raise ValueError("tls: a server needs cert, and key where cert does not hold it")
