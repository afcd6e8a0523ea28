"""The server: its clients, from the handshake to the farewell, and who gets which message."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import msgspec
import trio

from flowbus import Delivery, Fault, Lost, Message, NodeIO, Rejected
from flowbus_websocket.channel import Channel, Posted
from flowbus_websocket.client import Limits
from flowbus_websocket.dial import deadline_in, reason_of_tls, tls_fault_of
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.listen import remote_of
from flowbus_websocket.payload import frames_of
from flowbus_websocket.protocol.answer import Request
from flowbus_websocket.protocol.codes import GOING_AWAY, POLICY
from flowbus_websocket.protocol.encoder import FrameEncoder
from flowbus_websocket.welcome import Decision, answer, read_request

SlowClient = Literal["wait", "drop", "close"]
Decide = Callable[[Request], Awaitable[Decision]]

RESOLUTION: Final = 1.0  # seconds; how exactly the keep-alive of the clients is kept


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How the server treats its clients; sizes in bytes, times in seconds, 0 means no limit."""

    limits: Limits
    max_connections: int = 1000
    handshake_timeout: float = 10.0
    send_queue: int = 1 << 20
    slow_client: SlowClient = "drop"
    tls: ssl.SSLContext | None = None


class Client:
    """One client that is connected, as the flow knows it."""

    def __init__(self, name: str, remote: str, request: Request, channel: Channel) -> None:
        self.name = name
        self.remote = remote
        self.request = request
        self.channel = channel
        # What every message of this client carries; shared by them all, hence never changed.
        self.headers = {"connection": name, "remote": remote}
        self.text_headers = {**self.headers, "content_type": "text"}
        self.binary_headers = {**self.headers, "content_type": "binary"}

    def event(self, event: str, **more: Any) -> Message:
        """Return a message for the outlet ``connection``."""
        payload = {
            "event": event,
            "connection": self.name,
            "remote": self.remote,
            "path": self.request.path,
            **more,
        }
        return Message(payload, headers=self.headers)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``flowbus status --json`` shows of it."""
        return {
            "connection": self.name,
            "remote": self.remote,
            "path": self.request.path,
            "messages_in": self.channel.messages_in,
            "bytes_in": self.channel.bytes_in,
            "bytes_out": self.channel.bytes_out,
            "queued": self.channel.posted,
        }


class Server:
    """The clients of one node. ``decide`` answers each request that is in order."""

    def __init__(self, io: NodeIO, rules: Rules, decide: Decide) -> None:
        self.clients: dict[str, Client] = {}
        self._io = io
        self._rules = rules
        self._decide = decide
        self._encoder = FrameEncoder(masked=False, max_frame=rules.limits.max_send_frame)
        # New at every start: an address that a message kept must not lead to somebody else.
        self._prefix = secrets.token_hex(4)
        self._count = 0

    # ---- a client's life

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one client to its end; what it does wrong is a fault, never an exception."""
        remote = remote_of(stream)
        try:
            client = await self._welcome(stream, remote)
        except Lost as error:
            self._io.fault(error.fault, f"{remote}: {error.text}")
            await trio.aclose_forcefully(stream)
            return
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        ended: ConnectionEnded | None = None
        self.clients[client.name] = client
        try:
            ended = await self._attend(client)
        finally:
            del self.clients[client.name]
            await client.channel.close(*_farewell(ended))
        client.channel.reject_posted(
            named("connection_lost"), f"{client.name} has left: {ended.text}"
        )
        if ended.fault.code not in _QUIET:
            self._io.fault(ended.fault, f"{remote}: {ended.text}")
        event = client.event("disconnected", code=ended.code, reason=ended.reason)
        await self._io.send(event, "connection")

    async def _welcome(self, stream: trio.SocketStream, remote: str) -> Client:
        seconds = self._rules.handshake_timeout
        with trio.move_on_after(deadline_in(seconds)):
            secured = await self._secure(stream)
            request = await read_request(secured)
            decision = await self._admit(request)
            await answer(secured, request, decision)
            self._count += 1
            channel = self._rules.limits.channel(secured, is_client=False, rest=request.rest)
            return Client(f"{self._prefix}-{self._count}", remote, request, channel)
        raise Lost(named("handshake_timed_out"), f"no request for a WebSocket within {seconds:g} s")

    async def _secure(self, stream: trio.SocketStream) -> trio.abc.Stream:
        if self._rules.tls is None:
            return stream
        secured = trio.SSLStream(stream, self._rules.tls, server_side=True, https_compatible=True)
        try:
            await secured.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            raise Lost(tls_fault_of(error), f"TLS: {reason_of_tls(error)}") from error
        return secured

    async def _admit(self, request: Request) -> Decision:
        limit = self._rules.max_connections
        if len(self.clients) < limit:
            return await self._decide(request)
        text = f"{limit} clients are connected"
        return Decision(status=503, fault=named("too_many_connections"), text=text)

    async def _attend(self, client: Client) -> ConnectionEnded:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.channel.attend)
            ended = await self._receive(client)
            nursery.cancel_scope.cancel()
        return ended

    async def _receive(self, client: Client) -> ConnectionEnded:
        send_many, receive = self._io.send_many, client.channel.receive
        text, binary = client.text_headers, client.binary_headers
        await self._io.send(client.event("connected"), "connection")
        try:
            while True:
                payloads = await receive()
                # All at once: what has been received is the flow's even if the client leaves now.
                await send_many([Message(p, "", text if type(p) is str else binary) for p in payloads])
        except ConnectionEnded as ended:
            return ended

    async def keep_alive(self) -> None:
        """Look after the keep-alive of all clients, for ever: one task however many they are."""
        while True:
            due = [client.channel.check_alive() for client in list(self.clients.values())]
            soonest = trio.current_time() + RESOLUTION
            await trio.sleep_until(max(soonest, min(due, default=soonest)))

    # ---- from the flow to the clients

    async def post(self, delivery: Delivery) -> None:
        """Queue one message for the clients that it is addressed to; they, or this, end it."""
        message = delivery.message
        try:
            clients = self._addressed(message)
            frames = frames_of(message, self._encoder)
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
            return
        if not clients:
            delivery.drop()
            return
        posted: Posted = delivery if len(clients) == 1 else Shared(delivery, len(clients))
        for client in clients:
            await self._post(client, frames, posted)

    def _addressed(self, message: Message) -> Sequence[Client]:
        address = message.headers.get("connection")
        if address is None:
            return list(self.clients.values())
        names = [address] if isinstance(address, str) else address
        if not isinstance(names, list | tuple):
            text = f"headers.connection is {address!r}, neither an id nor a list of ids"
            raise Rejected(named("unknown_connection"), text)
        names = list(dict.fromkeys(names))
        unknown = [str(name) for name in names if name not in self.clients]
        if unknown:
            raise Rejected(named("unknown_connection"), f"not connected: {', '.join(unknown)}")
        return [self.clients[name] for name in names]

    async def _post(self, client: Client, frames: bytes, posted: Posted) -> None:
        channel, rules = client.channel, self._rules
        room = rules.send_queue - len(frames)
        if channel.posted and channel.posted > room:
            if rules.slow_client == "wait":
                await channel.wait_posted(max(room, 0))
            else:
                text = f"{client.name} ({client.remote}) has {channel.posted} bytes to take yet"
                posted.reject(named("send_queue_full"), text)
                if isinstance(posted, Shared):  # the others may have it, and then nobody is told
                    self._io.fault(named("send_queue_full"), text)
                if rules.slow_client == "close":
                    channel.abort(ConnectionEnded(closed_with(POLICY), text, POLICY, "too slow"))
                return
        if client.name in self.clients:
            channel.post(frames, posted)
        else:
            posted.reject(named("connection_lost"), f"{client.name} has left")


class Shared:
    """One message for several clients: confirmed when at least one has it and all others ended."""

    def __init__(self, delivery: Delivery, clients: int) -> None:
        self._delivery = delivery
        self._left = clients
        self._taken = False

    def confirm(self) -> None:
        """One client has it."""
        self._taken = True
        self._end(named("connection_lost"), "")

    def reject(self, reason: Fault, text: str) -> None:
        """One client will not get it."""
        self._end(reason, text)

    def _end(self, fault: Fault, text: str) -> None:
        self._left -= 1
        if self._left:
            return
        if self._taken:
            self._delivery.confirm()
        else:
            self._delivery.reject(fault, text)


#: Ways to leave that are nobody's mistake.
_QUIET: Final = frozenset(closed_with(code).code for code in (1000, 1001, 1005, 1006)) | {
    named("connection_lost").code
}


def _farewell(ended: ConnectionEnded | None) -> tuple[int, str]:
    if ended is not None and ended.code == POLICY:
        return POLICY, ended.reason
    return GOING_AWAY, "the server stops"
