"""One client of a server, as the flow knows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from flowbus import Message
from flowbus_websocket.channel import Channel
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.incoming import Incoming
from flowbus_websocket.protocol.answer import Request
from flowbus_websocket.protocol.assembly import Item
from flowbus_websocket.server.linemode import LineMode
from flowbus_websocket.server.masking import masked
from flowbus_websocket.welcome import Decision

if TYPE_CHECKING:
    from flowbus_websocket.server.backlog import Backlog

MAX_LINE: Final = 1 << 16  # characters, or bytes


class Caller(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who asks to open a WebSocket, and how: addresses as ``host:port``, TLS as it describes itself."""

    request: Request
    remote: str = ""
    local: str = ""
    tls: dict[str, Any] | None = None

    @property
    def client_cert(self) -> dict[str, Any] | None:
        """The certificate that the client has shown, None without one."""
        return None if self.tls is None else self.tls["peer"]


class Client:
    """One client that is connected, as the flow knows it."""

    def __init__(
        self, name: str, caller: Caller, channel: Channel, agreed: Decision, max_line: int = 0
    ) -> None:
        self.name = name
        self.caller = caller
        self.channel = channel
        self.subprotocol = agreed.subprotocol
        self.since = time.time()
        #: What every message of this client carries; shared by them all, hence never changed.
        self.headers: dict[str, Any] = {"connection": name, "remote": caller.remote}
        if agreed.claims is not None:
            self.headers["claims"] = agreed.claims
        if caller.client_cert is not None:
            self.headers["client_cert"] = caller.client_cert
        self.lines: LineMode | None = None
        self._max_line = max_line or MAX_LINE
        self._left_over: list[Message] = []
        self._incoming = Incoming(self.headers, fragments=channel.fragments)
        #: Cancelled when it has to go; ``dismissed`` says why.
        self.presence = trio.CancelScope()
        self.dismissed: ConnectionEnded | None = None
        self.waits_for_close = True
        self.gone = trio.Event()
        self.leaving = False  # from when on nothing is taken for it any more
        #: What waits while files are being sent to it, None while there are none.
        self.backlog: Backlog | None = None
        self.idle_count = 0
        self.idle_since = trio.current_time()
        # Sending goes on until the farewell has been sent, whatever is cancelled around it.
        self._attending = trio.CancelScope(shield=True)

    # ---- what it sends

    def messages(self, items: list[Item]) -> list[Message]:
        """Return what the flow gets of what has come; lines in line mode."""
        messages = self._incoming.messages(items)
        if self.lines is not None:
            messages = self.lines.messages(messages)
        return [*self.take_left_over(), *messages] if self._left_over else messages

    def set_line_mode(self, *, on: bool, max_line: int | None = None) -> None:
        """Take what comes as lines of at most ``max_line``, or again as messages."""
        if self.lines is not None:
            self._left_over += self.lines.end()
        self.lines = LineMode(max_line or self._max_line, self.headers) if on else None

    def take_left_over(self) -> list[Message]:
        """Return what has come of a line whose end will not; whoever has it sends it."""
        left_over, self._left_over = self._left_over, []
        return left_over

    @property
    def queued(self) -> int:
        """Bytes that are for it and that it has not taken yet, files aside."""
        waiting = self.backlog.size if self.backlog is not None else 0
        return self.channel.posted + waiting

    @property
    def remote(self) -> str:
        """Its address, ``host:port``."""
        return self.caller.remote

    async def attend(self) -> None:
        """Send what is posted, until :meth:`part`."""
        with self._attending:
            await self.channel.attend()

    async def part(self, code: int, reason: str) -> None:
        """Close the connection, within the limits of the channel, and end :meth:`attend`."""
        try:
            await self.channel.close(code, reason, wait=self.waits_for_close)
        finally:
            self._attending.cancel()

    def dismiss(self, ended: ConnectionEnded, *, wait: bool = True) -> None:
        """Have it go with the code and reason of ``ended``; ``wait`` for its answer to that."""
        if self.dismissed is None:
            self.dismissed = ended
            self.waits_for_close = wait
            self.presence.cancel()

    def event(self, event: str, **more: Any) -> Message:
        """Return a message for the outlet ``connection``."""
        payload = {
            "event": event,
            "connection": self.name,
            "remote": self.remote,
            "path": self.caller.request.path,
            "subprotocol": self.subprotocol,
            **self._shown_where_there(),
            **more,
        }
        return Message(payload, headers=self.headers)

    def _shown_where_there(self) -> dict[str, Any]:
        origin = self.caller.request.header("origin")
        shown = {"origin": origin, "client_cert": brief(self.caller.client_cert)}
        shown["claims"] = self.headers.get("claims")
        return {name: value for name, value in shown.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return what ``flowbus status --json`` shows of it."""
        channel, request = self.channel, self.caller.request
        return {
            "connection": self.name,
            "remote": self.remote,
            "local": self.caller.local,
            "path": request.path,
            "origin": request.header("origin"),
            "host": request.header("host"),
            "headers": masked(request.headers),
            "subprotocol": self.subprotocol,
            "compression": channel.deflate and channel.deflate._asdict(),
            "since": self.since,
            "tls": without(self.caller.tls, "peer"),
            "client_cert": brief(self.caller.client_cert),
            "line_mode": self.lines is not None,
            "max_line": self.lines.max_line if self.lines is not None else None,
            "accept_data": not channel.paused,
            "messages_in": channel.messages_in,
            "messages_out": channel.messages_out,
            "bytes_in": channel.bytes_in,
            "bytes_out": channel.bytes_out,
            "queued": self.queued,
            "files": self.backlog.files if self.backlog is not None else 0,
            "ready": not self.queued,
        }


def shown(content: bytes) -> str | bytes:
    """Return the payload of a ping as text where it is some."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def brief(certificate: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what is shown of a certificate: all but the certificate."""
    return without(certificate, "pem")


def without(value: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    """Return a copy that lacks one key; None of None."""
    return None if value is None else {k: v for k, v in value.items() if k != name}
