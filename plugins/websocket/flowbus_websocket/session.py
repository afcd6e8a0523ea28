"""One connection of a client while it is open: both directions, and the commands in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import trio

from flowbus import Delivery, NodeIO, Rejected
from flowbus_websocket.answers import Answers
from flowbus_websocket.chunks import Chunks
from flowbus_websocket.client import Connected
from flowbus_websocket.command import Close, Connect, Ping, client_command, ping_content
from flowbus_websocket.ended import ConnectionEnded, hung_up
from flowbus_websocket.faults import named
from flowbus_websocket.incoming import Incoming
from flowbus_websocket.payload import as_content
from flowbus_websocket.protocol.codes import GOING_AWAY, NORMAL


class Session:
    """Exchanges messages over one connection until a command, or the peer, ends it.

    ``reconnects`` says whether a command to connect needs another connection; ``rest`` are
    messages that were taken and not sent, before this connection or, at its end, by it. With
    ``answered`` a message counts as sent once the server has answered a ping behind it.
    """

    def __init__(
        self,
        io: NodeIO,
        connected: Connected,
        rest: list[Delivery],
        reconnects: Callable[[Connect], bool],
        *,
        answered: bool,
    ) -> None:
        self.rest = rest
        self.last_command: tuple[Delivery, Close | Connect] | None = None
        self.ended: ConnectionEnded | None = None
        self._io = io
        self._channel = connected.channel
        self._connected = connected
        self._reconnects = reconnects
        self._answers = Answers(connected.channel) if answered else None
        torn = bool(io.memory.get("torn"))
        self._chunks = Chunks(connected.channel.encoder, torn=torn)
        self._since = time.time()
        self._leaving = False
        self._received_all = trio.Event()

    def details(self) -> dict[str, Any]:
        """Return what ``flowbus status --json`` shows of the connection."""
        channel = self._channel
        return {
            **self._connected.details(),
            "since": self._since,
            "messages_in": channel.messages_in,
            "messages_out": channel.messages_out,
            "bytes_in": channel.bytes_in,
            "bytes_out": channel.bytes_out,
            "keepalive": channel.alive.as_dict(trio.current_time()),
        }

    async def run(self) -> None:
        """Return once ``last_command`` has ended the connection; ConnectionEnded if the peer does."""
        channel = self._channel
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channel.attend)
                nursery.start_soon(channel.keep_alive)
                nursery.start_soon(self._send, nursery)
                if self._answers is not None:
                    nursery.start_soon(self._answers.confirm)
                await self._receive()
            if self._answers is not None:
                self.rest = self._answers.rest() + self.rest
        finally:
            self._io.memory["torn"] = self._chunks.torn
            await channel.close(GOING_AWAY, "the flow stops")

    # ---- from the server

    async def _receive(self) -> None:
        io, receive = self._io, self._channel.receive
        messages = Incoming({}, fragments=self._channel.fragments).messages
        overflow = io.overflow()
        try:
            while True:
                items = await receive()
                # All at once: what has been received is the flow's even if the connection is lost now.
                await io.send_many(messages(items))
                before, overflow = overflow, io.overflow()
                if overflow > before:
                    text = f"a wire behind out was full and did not take {overflow - before}"
                    io.fault(named("receive_queue_full"), text)
        except ConnectionEnded as ended:
            self.ended = ended
            if not self._leaving:
                raise
        self._received_all.set()

    # ---- to the server

    async def _send(self, nursery: trio.Nursery) -> None:
        try:
            while self.last_command is None:
                deliveries = iter(self.rest or await self._io.take_many())
                self.rest = []
                await self._send_all(deliveries, nursery)
        except ConnectionEnded as ended:
            await self._channel.fail(ended)
            return
        nursery.cancel_scope.cancel()

    async def _send_all(self, deliveries: Iterator[Delivery], nursery: trio.Nursery) -> None:
        for part in self._chunks.of(deliveries):
            if isinstance(part, Delivery):
                await self._obey(part, nursery)
                if self.last_command is not None:
                    self.rest = [*deliveries]
                    return
                continue
            frames, chunk = part
            if self._answers is not None:
                await self._answers.send(frames, chunk)
            else:
                await self._channel.send(frames)
                for delivery in chunk:
                    delivery.confirm()
            self._channel.messages_out += len(chunk)

    # ---- commands

    async def _obey(self, delivery: Delivery, nursery: trio.Nursery) -> None:
        try:
            command = client_command(delivery.message)
            if isinstance(command, Ping):
                content = ping_content(command, as_content(command.payload))
            if isinstance(command, Connect) and not self._reconnects(command):
                delivery.confirm()  # that is what it is connected to
                return
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
            return
        if isinstance(command, Ping):
            nursery.start_soon(self._ping, delivery, content, command.deadline)
            return
        if isinstance(command, Close):
            await self._leave(command.code, command.reason)
        else:
            await self._leave(NORMAL, "connects anew")
        self.last_command = (delivery, command)

    async def _leave(self, code: int, reason: str) -> None:
        """Say goodbye, and go on receiving until the server has said it too."""
        self._leaving = True
        with trio.move_on_after(self._channel.close_timeout) as waiting:
            await self._channel.say_goodbye(code, reason)
            await self._received_all.wait()
        if waiting.cancelled_caught:
            self._channel.abort(hung_up())

    async def _ping(self, delivery: Delivery, content: bytes, deadline: float) -> None:
        # Without a payload a unique one tells the answer from that to a ping of the keep-alive.
        answered = self._channel.ping(content or os.urandom(4))
        fault = named("not_connected")
        text = "the connection ended before the answer"
        try:
            with trio.move_on_after(deadline) as waiting:
                await answered.wait()
            if waiting.cancelled_caught:
                fault = named("ping_unanswered")
                text = f"{self._connected.address} did not answer within {deadline:g} s"
        finally:
            self._channel.pings.forget(answered)
            if answered.is_set():
                delivery.confirm()
            else:
                delivery.reject(fault, text)
