"""The life of a client from one start to the next loss: dialling, open, and closed by command.

The rules:

- losing the peer ends this start, the supervisor begins the next one after a while; what commands
  have asked for is in the node's memory and holds then too;
- while there is no connection a command overtakes the messages that wait for one;
- closed by command, the client rejects messages until it is told to connect;
- a command to connect ends with the outcome of the next attempt. When that fails the client goes on
  trying, as it does after any loss.
"""

from __future__ import annotations

from typing import Any

import trio

from flowbus import TLS, ConfigError, Delivery, Fault, Lost, Message, NodeIO, Rejected
from flowbus_websocket.client import Connected, Request, connect
from flowbus_websocket.command import Close, Connect, Ping, client_command, is_command
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.codes import GOING_AWAY
from flowbus_websocket.session import Session
from flowbus_websocket.settings import WebSocketClient, limits_of
from flowbus_websocket.wish import Wish


class ClientLife:
    """One start of a ``websocket-client``."""

    def __init__(self, config: WebSocketClient, io: NodeIO) -> None:
        self._config = config
        self._io = io
        self._wish: Wish = io.memory.setdefault("wish", Wish())
        self._rest: list[Delivery] = []
        self._connecting: Delivery | None = None  # the command that waits for this attempt

    async def run(self) -> None:
        """Do what the flow file and the commands say; Lost when the peer is."""
        self._io.wake_for(is_command)
        while True:
            if self._wish.closed is not None:
                await self._stay_closed(self._wish.closed)
            elif connected := await self._dial():
                await self._converse(connected)

    # ---- without a connection

    async def _dial(self) -> Connected | None:
        """Connect; None where a command has come meanwhile and there is something else to do."""
        connected, interrupted = None, False

        async def heed() -> None:
            nonlocal interrupted
            while not interrupted:
                interrupted = self._obey(await self._next_command())
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(heed)
            for _ in range(2):  # a command that waits comes first: it has had its turn after one
                await trio.lowlevel.checkpoint()
            config = self._options()
            request = self._request(config)
            try:
                connected = await connect(
                    request, limits_of(config), config.tls, config.connect_timeout
                )
            except Lost as error:
                if not interrupted:  # else it is no longer what was asked for
                    self._end_connecting(error.fault, error.text)
                    raise
            nursery.cancel_scope.cancel()
        if connected is not None and interrupted:
            await connected.channel.close(GOING_AWAY, "told otherwise")
            return None
        return connected

    async def _next_command(self) -> Delivery:
        """Take the next command out of its turn; those that were taken before come first."""
        for delivery in self._rest:
            if is_command(delivery.message):
                self._rest.remove(delivery)
                return delivery
        return await self._io.take_first(is_command)

    def _options(self) -> WebSocketClient:
        try:
            return self._wish.options(self._config)
        except ValueError as error:  # the flow file's part may come from a file that has changed
            text = f"{self._io.name}: with what a command has asked for: {error}"
            raise ConfigError(text) from None

    def _request(self, config: WebSocketClient) -> Request:
        try:
            return config.request()
        except ConfigError as error:
            # The key may be put right, or replaced, while the flow runs.
            self._end_connecting(error.fault, str(error))
            raise Lost(error.fault, str(error)) from error

    async def _stay_closed(self, closed: Close) -> None:
        text = f"closed by a command: {closed}"
        self._io.details(lambda: {"closed": {"code": closed.code, "reason": closed.reason}})
        self._io.degraded(named("closed"), text)
        while True:
            deliveries = iter(self._rest or await self._io.take_many())
            self._rest = []
            for delivery in deliveries:
                if not is_command(delivery.message):
                    delivery.reject(named("not_connected"), text)
                elif self._obey(delivery):
                    self._rest = [*deliveries]
                    return

    def _obey(self, delivery: Delivery) -> bool:
        """Carry out a command while there is no connection; return whether it changes anything."""
        try:
            command = client_command(delivery.message)
            if isinstance(command, Ping):
                raise Rejected(named("not_connected"), "there is no connection to ping by")
            if isinstance(command, Connect):
                self._reconnects(command)
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
            return False
        self._end_connecting(named("not_connected"), "another command came before the outcome")
        self._carry_out(delivery, command)
        return True

    # ---- with a connection

    async def _converse(self, connected: Connected) -> None:
        if self._connecting is not None:
            self._connecting.confirm()
            self._connecting = None
        answered = self._config.confirm == "answered"
        session = Session(self._io, connected, self._rest, self._reconnects, answered=answered)
        self._io.details(lambda: {"connection": session.details()})
        self._say_connected(connected)
        await self._tell("connected", connected)
        try:
            await session.run()
        finally:
            if session.ended is not None:
                code, reason = session.ended.code, session.ended.reason
                await self._tell("disconnected", connected, code=code, reason=reason)
        self._rest = session.rest
        assert session.last_command is not None
        self._carry_out(*session.last_command)

    def _say_connected(self, connected: Connected) -> None:
        subprotocol = connected.opened.subprotocol
        text = str(connected.address) + (f", subprotocol {subprotocol}" if subprotocol else "")
        (self._config.tls or TLS()).say_connected(self._io, "ws", text)

    async def _tell(self, event: str, connected: Connected, **end: Any) -> None:
        """Send an event to whoever wants to know, unless the flow stops, which takes in no more."""
        if self._io.is_wired("connection") and not self._io.draining.is_set():
            shown = {"event": event, **connected.place(), **end}
            await self._io.send(Message(shown, headers=end), "connection")

    # ---- commands

    def _reconnects(self, asked: Connect) -> bool:
        """Take in what to connect to from now on; return whether that changes anything."""
        try:
            return self._wish.connect(asked, self._config)
        except ValueError as error:
            raise Rejected(named("bad_command"), f"command connect: {error}") from None

    def _carry_out(self, delivery: Delivery, command: Close | Connect) -> None:
        if isinstance(command, Close):
            self._wish.closed = command
            delivery.confirm()
        else:
            self._connecting = delivery

    def _end_connecting(self, fault: Fault, text: str) -> None:
        if self._connecting is not None:
            self._connecting.reject(fault, text)
            self._connecting = None
