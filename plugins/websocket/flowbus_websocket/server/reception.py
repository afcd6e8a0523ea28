"""From a TCP connection to an open WebSocket: who is let in, and what the others are told."""

from __future__ import annotations

import math
import secrets
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from flowbus import Lost
from flowbus_websocket.dial import deadline_in, reason_of_tls, tls_fault_of
from flowbus_websocket.faults import named
from flowbus_websocket.pace import PacedStream
from flowbus_websocket.server.access import Access
from flowbus_websocket.server.client import Caller, Client
from flowbus_websocket.server.handshakes import Handshakes, Turn
from flowbus_websocket.server.rules import Rules
from flowbus_websocket.server.sockets import host_in, local_of, remote_of
from flowbus_websocket.welcome import Decision, answer, read_request

Decide = Callable[[Caller], Awaitable[Decision]]

FEWEST: Final = 64  # places for handshakes, however few connections there may be


class Reception:
    """Takes clients in. ``decide`` answers each request that is in order."""

    def __init__(self, rules: Rules, access: Access, decide: Decide) -> None:
        self.handshakes = Handshakes(max(rules.max_connections, FEWEST))
        #: How many were turned away, by the code of the fault.
        self.refused: Counter[str] = Counter()
        #: How many are connected, about to be, or about to be gone.
        self.taken = 0
        self._rules = rules
        self._access = access
        self._decide = decide
        # New at every start: an address that a message kept must not lead to somebody else.
        self._prefix = secrets.token_hex(4)
        self._count = 0

    async def admit(self, stream: trio.SocketStream) -> Client:
        """Return the client that ``stream`` has become, which takes a place until :meth:`leave`.

        Lost where it is not let in; then the stream is closed.
        """
        try:
            return await self._admit(stream)
        except Lost as error:
            self.refused[error.fault.code] += 1
            await trio.aclose_forcefully(stream)
            raise
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    def leave(self) -> None:
        """Give a client's place to others."""
        self.taken -= 1

    async def _admit(self, stream: trio.SocketStream) -> Client:
        with self.handshakes.turn() as turn:
            self._limit(turn)
            return await self._welcome(stream, turn)
        if turn.gave_way:
            raise Lost(named("too_many_handshakes"), f"gave way to {len(self.handshakes)} others")
        seconds = self._rules.handshake_timeout
        raise Lost(named("handshake_timed_out"), f"no request for a WebSocket within {seconds:g} s")

    def _limit(self, turn: Turn) -> None:
        turn.scope.deadline = trio.current_time() + deadline_in(self._rules.handshake_timeout)

    async def _welcome(self, stream: trio.SocketStream, turn: Turn) -> Client:
        remote = remote_of(stream)
        if not remote:
            raise Lost(named("bad_handshake"), "hung up before it asked for anything")
        if not await self._access.admits(host_in(remote)):
            raise Lost(named("address_refused"), "its address is not allowed")
        secured, tls = await self._secure(stream)
        request = await read_request(secured)
        caller = Caller(request=request, remote=remote, local=local_of(stream), tls=tls)
        if self.taken >= self._rules.max_connections:
            await answer(secured, request, self._full())
        self.taken += 1
        try:
            return await self._open(secured, caller, turn)
        except BaseException:
            self.taken -= 1
            raise

    async def _open(self, stream: trio.abc.Stream, caller: Caller, turn: Turn) -> Client:
        turn.scope.deadline = math.inf  # who decides has a time limit of its own
        decision = await self._decide(caller)
        self._limit(turn)
        limits, request = self._rules.limits, caller.request
        deflate, extension = limits.agree(request)
        await answer(stream, request, decision, extension)
        self._count += 1
        channel = limits.channel(stream, is_client=False, rest=request.rest, deflate=deflate)
        name = f"{self._prefix}-{self._count}"
        channel.watching = self._rules.ping_events
        client = Client(name, caller, channel, decision, self._rules.max_line)
        client.set_line_mode(on=self._rules.line_mode)
        return client

    async def _secure(
        self, stream: trio.SocketStream
    ) -> tuple[trio.abc.Stream, dict[str, Any] | None]:
        """Return the stream to speak on, and what TLS came to where there is TLS."""
        seconds, tls = self._rules.send_timeout, self._rules.tls
        paced = PacedStream(stream, seconds) if seconds else stream
        if tls is None:
            return paced, None
        secured = trio.SSLStream(paced, tls.context, server_side=True, https_compatible=True)
        try:
            await tls.options.shake_hands(secured)
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            raise Lost(tls_fault_of(error), f"TLS: {reason_of_tls(error)}") from error
        return secured, tls.options.describe(secured)

    def _full(self) -> Decision:
        text = f"{self._rules.max_connections} clients are connected"
        return Decision(status=503, fault=named("too_many_connections"), text=text)
