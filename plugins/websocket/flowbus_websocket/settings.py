"""The options of the client, and those that both nodes have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from flowbus import JWT, TLS, ByteSize, Config, Secret
from flowbus_websocket.client import Limits, Request
from flowbus_websocket.compression import Compression, compression_of
from flowbus_websocket.protocol.handshake import flaw_of_value, is_token
from flowbus_websocket.url import parse_url

if TYPE_CHECKING:
    from flowbus_websocket.server.settings import WebSocketServer

Seconds = Annotated[float, Meta(ge=0)]

_RESERVED = ("connection", "upgrade")


class OpenConnection(Config):
    """What holds for an open connection, whoever dialled."""

    keepalive: Annotated[bool, Meta(description="Ping a peer from which nothing comes.")] = True
    keepalive_interval: Annotated[
        Seconds, Meta(description="Seconds without anything received before a ping; 0: never.")
    ] = 20.0
    keepalive_timeout: Annotated[
        Seconds, Meta(description="Seconds to wait for the answer to a ping; 0: no limit.")
    ] = 10.0
    max_receive_message: Annotated[
        ByteSize,
        Meta(
            description="Largest message taken, in bytes; a larger one closes with 1009; 0: no limit."
        ),
    ] = 1 << 20
    compress_min: Annotated[
        ByteSize,
        Meta(
            description="Messages of at least so many bytes are compressed where compression was "
            "agreed on; headers.compress decides for a single one."
        ),
    ] = 1 << 10
    deliver: Annotated[
        Literal["message", "fragment"],
        Meta(
            description="What leaves by out: whole messages, or each fragment as it comes with "
            "headers.final; max_receive_message holds for a fragment then."
        ),
    ] = "message"
    close_timeout: Annotated[Seconds, Meta(description="Seconds for the closing handshake.")] = 2.0


class WebSocketClient(OpenConnection):
    """Stay connected to a WebSocket server and exchange messages with it."""

    url: Annotated[str, Meta(description="Where to connect: ws://HOST:PORT/PATH or wss://...")]
    subprotocols: Annotated[
        tuple[str, ...], Meta(description="Subprotocols to offer, the one liked best first.")
    ] = ()
    require_subprotocol: Annotated[
        bool, Meta(description="Do not work with a server that chooses none of subprotocols.")
    ] = False
    origin: Annotated[
        str | None, Meta(description="Origin header, for servers that check where pages come from.")
    ] = None
    headers: Annotated[
        dict[str, Secret],
        Meta(
            description="More headers of the request; they replace the default ones. Never shown."
        ),
    ] = {}  # noqa: RUF012  msgspec copies it
    bearer_jwt: Annotated[
        JWT | None,
        Meta(
            description="How to sign the JSON Web Token that is sent as Authorization: Bearer, a "
            "fresh one at every attempt."
        ),
    ] = None
    tls: Annotated[TLS | None, Meta(description="How to secure a wss:// connection.")] = None
    compression: Annotated[
        bool | Compression,
        Meta(description="Offer to compress messages (permessage-deflate); an object says how."),
    ] = False
    connect_timeout: Annotated[
        Seconds, Meta(description="Seconds for name resolution, TCP and TLS together; 0: no limit.")
    ] = 10.0
    response_timeout: Annotated[
        Seconds, Meta(description="Seconds for the server's answer to the request; 0: no limit.")
    ] = 10.0
    max_receive_frame: Annotated[
        ByteSize,
        Meta(
            description="Largest frame taken, in bytes; a larger one closes with 1009; 0: the limit "
            "of messages."
        ),
    ] = 1 << 16
    max_send_frame: Annotated[
        ByteSize,
        Meta(
            description="Larger messages are sent in fragments of this size, in bytes; 0: none are."
        ),
    ] = 1 << 14

    confirm: Annotated[
        Literal["sent", "answered"],
        Meta(
            description="When a message is done: once TCP has taken it (sent), or once the server "
            "has answered a ping behind it (answered). Then what was on its way when the connection "
            "is lost is sent again."
        ),
    ] = "sent"

    def __post_init__(self) -> None:
        try:
            address = parse_url(self.url)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if self.tls is not None and not address.secure:
            raise ValueError("tls: has no use with a ws:// url; write wss:// or leave it out")
        if self.tls is not None:
            self.tls.check_as_client()
        if self.require_subprotocol and not self.subprotocols:
            raise ValueError("require_subprotocol: needs subprotocols to offer")
        for name in self.subprotocols:
            if not is_token(name):
                raise ValueError(f"subprotocols: {name!r} is not a token of HTTP")
            if self.subprotocols.count(name) > 1:
                raise ValueError(f"subprotocols: {name!r} is there twice; servers refuse that")
        if self.origin is not None and (flaw := flaw_of_value(self.origin)):
            raise ValueError(f"origin: {flaw}")
        for name, secret in self.headers.items():
            if not is_token(name):
                raise ValueError(f"headers: {name!r} is no name of a header")
            if flaw := flaw_of_value(secret.reveal().strip()):  # the value itself is not shown
                raise ValueError(f"headers: the value of {name} {flaw}")
            if name.lower() in _RESERVED or name.lower().startswith("sec-websocket-"):
                raise ValueError(f"headers: {name} belongs to the handshake and cannot be given")
            if name.lower() == "authorization" and self.bearer_jwt is not None:
                raise ValueError(f"bearer_jwt: headers has {name} already; leave one of them out")

    def check_files(self) -> None:
        """Raise ConfigError where the key of ``bearer_jwt`` cannot sign."""
        if self.bearer_jwt is not None:
            self.bearer_jwt.check_signing("bearer_jwt")

    def request(self) -> Request:
        """Return what to ask the server for now, with a fresh token.

        ConfigError where the key of ``bearer_jwt`` cannot be used.
        """
        headers = [(name, secret.reveal().strip()) for name, secret in self.headers.items()]
        if self.origin is not None and not any(name.lower() == "origin" for name, _ in headers):
            headers.append(("Origin", self.origin))
        if self.bearer_jwt is not None:
            headers.append(("Authorization", f"Bearer {self.bearer_jwt.sign()}"))
        compression = compression_of(self.compression)
        return Request(
            offers=() if compression is None else (compression.offer(),),
            address=parse_url(self.url),
            subprotocols=self.subprotocols,
            require_subprotocol=self.require_subprotocol,
            headers=tuple(headers),
            response_timeout=self.response_timeout,
        )


def limits_of(config: WebSocketClient | WebSocketServer) -> Limits:
    """Return the limits of either node's channels."""
    return Limits(
        max_receive_message=config.max_receive_message,
        max_receive_frame=config.max_receive_frame or 0,
        max_send_frame=config.max_send_frame,
        keepalive_interval=config.keepalive_interval if config.keepalive else 0.0,
        keepalive_timeout=config.keepalive_timeout,
        close_timeout=config.close_timeout or 1e-3,
        compression=compression_of(config.compression),
        compress_min=config.compress_min,
        fragments=config.deliver == "fragment",
    )
