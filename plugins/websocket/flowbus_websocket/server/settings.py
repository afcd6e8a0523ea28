"""The options of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, structs

from flowbus import TLS, ByteSize, Config, ConfigError, FilePath
from flowbus_websocket.compression import Compression
from flowbus_websocket.server.accept import Accept
from flowbus_websocket.server.access import entries_of
from flowbus_websocket.server.sockets import Families, Place, Tuning, is_ipv4
from flowbus_websocket.settings import OpenConnection, Seconds

Backlog = Annotated[int, Meta(ge=1, le=65535)]


class TcpKeepalive(Config):
    """When the system asks whether a peer is still there."""

    time: Annotated[
        int, Meta(ge=1, le=32767, description="Seconds without anything before the first probe.")
    ] = 60
    interval: Annotated[
        int, Meta(ge=1, le=32767, description="Seconds between the probes that follow.")
    ] = 10


class WebSocketServer(OpenConnection):
    """Serve WebSocket clients: take their messages, and send to one, several or all of them."""

    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address or name to listen on; * for all addresses, 0.0.0.0 for those of "
            "IPv4, :: for those of IPv6.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0: any, shown in the status.")
    ]
    ipv6: Annotated[
        Families,
        Meta(description="Whether to listen by IPv6 where host has such addresses."),
    ] = "both"
    backlog: Annotated[
        Backlog | None,
        Meta(
            description="Connections that may wait to be accepted; without it as many as the "
            "system allows.",
        ),
    ] = None
    allow_clients: Annotated[
        tuple[str, ...],
        Meta(
            description="Who may connect: addresses, networks (10.0.0.0/8), host names, patterns "
            "with * (192.168.*, *.plant.example); empty: everybody."
        ),
    ] = ()
    block_clients: Annotated[
        tuple[str, ...],
        Meta(description="Who may not connect, even if allow_clients has it; refused before TLS."),
    ] = ()
    accept: Annotated[
        Accept | Literal["ask"] | None,
        Meta(
            description='Rules for requests; or "ask": each request leaves by the outlet request, '
            "and a message with its headers.request decides."
        ),
    ] = None
    ask_timeout: Annotated[
        float,
        Meta(gt=0, description='Seconds in which the flow has to answer a request (accept "ask").'),
    ] = 10.0
    show_headers: Annotated[
        tuple[str, ...],
        Meta(
            description="Headers of a request that the outlet request shows though they look like "
            "secrets, such as authorization."
        ),
    ] = ()
    path: Annotated[
        str | None,
        Meta(description="The only path served, without a query; another one is answered 404."),
    ] = None
    tls: Annotated[TLS | None, Meta(description="Serve wss:// with this certificate and key.")] = (
        None
    )
    compression: Annotated[
        bool | Compression,
        Meta(
            description="Compress messages (permessage-deflate) where the client offers it; an object says how."
        ),
    ] = True
    max_connections: Annotated[
        int, Meta(ge=1, le=100_000, description="Clients at once; the next one is answered 503.")
    ] = 1000
    handshake_timeout: Annotated[
        Seconds, Meta(description="Seconds for TLS and the request of a client; 0: no limit.")
    ] = 10.0
    send_timeout: Annotated[
        Seconds,
        Meta(
            description="Seconds in which a client has to take something of what is being sent "
            "to it; 0: no limit."
        ),
    ] = 0.0
    idle_timeout: Annotated[
        Seconds,
        Meta(
            description="Seconds without a message to or from a client before it is closed with "
            "1001; 0: no limit."
        ),
    ] = 0.0
    tcp_keepalive: Annotated[
        TcpKeepalive | None,
        Meta(description="Have the system probe connections; without it keepalive does."),
    ] = None
    nodelay: Annotated[
        bool,
        Meta(description="Send small messages at once instead of collecting them for a while."),
    ] = True
    receive_buffer: Annotated[
        ByteSize | None,
        Meta(
            description="The system's buffer for what comes, in bytes, for each client; 0: the system decides."
        ),
    ] = None
    send_buffer: Annotated[
        ByteSize | None,
        Meta(
            description="The system's buffer for what goes, in bytes, for each client; 0: the system decides."
        ),
    ] = None
    files: Annotated[
        FilePath | None,
        Meta(
            description="Folder whose files may be sent: a message with headers.file, a path below "
            "it, sends that file."
        ),
    ] = None
    line_mode: Annotated[
        bool,
        Meta(
            description="What a client sends is a stream of lines: each leaves as a message, without "
            "its CR LF or LF. The command line-mode changes it for single clients."
        ),
    ] = False
    max_line: Annotated[
        int,
        Meta(
            ge=1,
            description="Longest line in characters, or bytes of binary; a longer one is cut, and "
            "headers.eol is false for all pieces but the last.",
        ),
    ] = 1 << 16
    ping_events: Annotated[
        bool,
        Meta(description="Tell of each Ping and Pong that comes as an event by connection."),
    ] = False
    max_receive_frame: Annotated[
        ByteSize | None,
        Meta(description="Largest frame taken, in bytes; without it the limit of messages."),
    ] = None
    max_send_frame: Annotated[
        ByteSize,
        Meta(
            description="Larger messages are sent in fragments of this size, in bytes; 0: none are."
        ),
    ] = 1 << 17
    send_queue: Annotated[
        ByteSize,
        Meta(
            description="Bytes that may wait for one client; a single message may be larger. See "
            "slow_client."
        ),
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
        if self.path is not None and isinstance(self.accept, Accept) and self.accept.paths:
            raise ValueError("path: says the same as accept.paths; give one of them")
        demands = isinstance(self.accept, Accept) and self.accept.client_certs
        if demands and not _asks_for_certificates(self.tls):
            raise ValueError("accept: client_certs needs tls.client_ca, who issues them")
        if self.show_headers and self.accept != "ask":
            raise ValueError('show_headers: is for accept "ask"')
        if self.tls is not None:
            self.tls.check_as_server()
        for option in ("allow_clients", "block_clients"):
            try:
                entries_of(getattr(self, option))
            except ValueError as error:
                raise ValueError(f"{option}: {error}") from None
        if self.ipv6 == "no" and ":" in self.host:
            raise ValueError(f"host: {self.host} is an address of IPv6, and ipv6 is no")
        if self.ipv6 == "only" and is_ipv4(self.host):
            raise ValueError(f"host: {self.host} is an address of IPv4, and ipv6 is only")

    def check_files(self) -> None:
        """Raise ConfigError where there is no folder of files."""
        if self.files is not None and not Path(self.files).is_dir():
            raise ConfigError(f"{self.files!r} is no folder", option="files")

    def rules(self) -> Accept:
        """Return the rules for requests; ``path`` is one of them."""
        accept = self.accept if isinstance(self.accept, Accept) else Accept()
        return accept if self.path is None else structs.replace(accept, paths=(self.path,))

    def place(self) -> Place:
        """Return where to listen."""
        return Place(self.host, self.port, self.ipv6)

    def tuning(self) -> Tuning:
        """Return what to set on the sockets."""
        keepalive = self.tcp_keepalive
        return Tuning(
            backlog=self.backlog,
            nodelay=self.nodelay,
            keepalive_time=None if keepalive is None else keepalive.time,
            keepalive_interval=None if keepalive is None else keepalive.interval,
            receive_buffer=self.receive_buffer,
            send_buffer=self.send_buffer,
        )


def _asks_for_certificates(tls: TLS | None) -> bool:
    if tls is None or tls.client_auth == "none":
        return False
    return tls.client_ca is not None or tls.ca is not None
