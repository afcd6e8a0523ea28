"""The life of each client, from the handshake to the farewell."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from flowbus import Lost, Message, NodeIO
from flowbus_websocket.dial import deadline_in, reason_of_tls, tls_fault_of
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.protocol.answer import Request
from flowbus_websocket.protocol.codes import GOING_AWAY, POLICY
from flowbus_websocket.server.client import Client
from flowbus_websocket.server.listen import remote_of
from flowbus_websocket.server.rules import Rules
from flowbus_websocket.welcome import Decision, answer, read_request

Decide = Callable[[Request], Awaitable[Decision]]

RESOLUTION: Final = 1.0  # seconds; how exactly the keep-alive of the clients is kept


class Server:
    """The clients of one node. ``decide`` answers each request that is in order."""

    def __init__(self, io: NodeIO, rules: Rules, decide: Decide) -> None:
        self.clients: dict[str, Client] = {}
        self._io = io
        self._rules = rules
        self._decide = decide
        # New at every start: an address that a message kept must not lead to somebody else.
        self._prefix = secrets.token_hex(4)
        self._count = 0

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
                await send_many(
                    [Message(p, "", text if type(p) is str else binary) for p in payloads]
                )
        except ConnectionEnded as ended:
            return ended

    async def keep_alive(self) -> None:
        """Look after the keep-alive of all clients, for ever: one task however many they are."""
        while True:
            due = [client.channel.check_alive() for client in list(self.clients.values())]
            soonest = trio.current_time() + RESOLUTION
            await trio.sleep_until(max(soonest, min(due, default=soonest)))


#: Ways to leave that are nobody's mistake.
_QUIET: Final = frozenset(closed_with(code).code for code in (1000, 1001, 1005, 1006)) | {
    named("connection_lost").code
}


def _farewell(ended: ConnectionEnded | None) -> tuple[int, str]:
    if ended is not None and ended.code == POLICY:
        return POLICY, ended.reason
    return GOING_AWAY, "the server stops"
