"""Carrying out commands: each ends its message with what has become of it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from flowbus import Delivery, Lost, Message, NodeIO, Rejected
from flowbus_websocket.command import Ping, ping_content
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.payload import as_content
from flowbus_websocket.protocol.codes import NORMAL
from flowbus_websocket.server.client import Client, shown
from flowbus_websocket.server.listening import Listening
from flowbus_websocket.server.orders import (
    CloseClient,
    Interrupt,
    Order,
    Pause,
    SetLineMode,
    StartListening,
    StopListening,
    order_of,
)

MOST: Final = 256  # commands that wait for clients at the same time

Addressed = Callable[[Message], Sequence[Client]]
Wait = Callable[[], Awaitable[None]]


class Commands:
    """Carries out what messages with ``headers.command`` say; ``addressed`` tells whom they mean.

    What has to wait for a client does so in ``nursery``, and others are carried out meanwhile.
    """

    def __init__(
        self, io: NodeIO, addressed: Addressed, listening: Listening, nursery: trio.Nursery
    ) -> None:
        self._io = io
        self._addressed = addressed
        self._listening = listening
        self._nursery = nursery
        self._waiting = trio.Semaphore(MOST, max_value=MOST)

    async def obey(self, delivery: Delivery) -> None:
        """Carry out one command, or begin to; it ends its message."""
        try:
            order = order_of(delivery.message)
            wait = await self._begin(order, delivery.message)
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
            return
        if wait is None:
            delivery.confirm()
        else:
            await self._waiting.acquire()
            self._nursery.start_soon(self._finish, wait, delivery)

    async def _finish(self, wait: Wait, delivery: Delivery) -> None:
        try:
            await wait()
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
        else:
            delivery.confirm()
        finally:
            self._waiting.release()

    async def _begin(self, order: Order, message: Message) -> Wait | None:
        """Do what can be done at once; return what remains to be waited for."""
        if isinstance(order, StartListening | StopListening):
            await self._listen(order)
            return None
        clients = self._addressed(message)
        if isinstance(order, CloseClient):
            return self._close(order, clients)
        if isinstance(order, Ping):
            return self._ping(order, clients)
        if isinstance(order, SetLineMode):
            return self._set_line_mode(order, clients)
        for client in clients:
            if isinstance(order, Pause):
                client.channel.pause()
            elif isinstance(order, Interrupt):
                if client.backlog is not None:
                    client.backlog.interrupt()
            else:
                client.channel.resume()
        return None

    async def _listen(self, order: StartListening | StopListening) -> None:
        if isinstance(order, StopListening):
            await self._listening.stop()
            return
        try:
            await self._listening.start()
        except Lost as error:
            raise Rejected(error.fault, error.text) from None

    def _close(self, order: CloseClient, clients: Sequence[Client]) -> Wait:
        text = f"closed by a command: {order}"
        for client in clients:
            # What is asked for is no mistake, whatever the code says.
            ended = ConnectionEnded(closed_with(NORMAL), text, order.code, order.reason)
            client.dismiss(ended, wait=order.wait)

        async def all_gone() -> None:
            for client in clients:
                await client.gone.wait()

        return all_gone

    def _set_line_mode(self, order: SetLineMode, clients: Sequence[Client]) -> Wait:
        for client in clients:
            client.set_line_mode(on=order.on, max_line=order.max_line)

        async def all_told() -> None:
            for client in clients:
                # What had come of a line when line mode ended is the flow's, in its order.
                if messages := client.take_left_over():
                    await self._io.send_many(messages)

        return all_told

    # ---- ping

    def _ping(self, order: Ping, clients: Sequence[Client]) -> Wait:
        # Without a payload a unique one tells the answer from that to a ping of the keep-alive.
        content = ping_content(order, as_content(order.payload)) if order.payload else os.urandom(4)
        begun = trio.current_time()
        pings = [(client, client.channel.ping(content)) for client in clients]

        async def all_answered() -> None:
            silent = []
            for client, answered in pings:
                if await _first(answered, client.gone, begun + order.deadline):
                    seconds = trio.current_time() - begun
                    await self._tell(client, "pong", payload=shown(content), seconds=seconds)
                else:
                    client.channel.pings.forget(answered)
                    silent.append(client.name)
                    await self._tell(client, "ping_unanswered", payload=shown(content))
            if silent:
                text = f"no answer within {order.deadline:g} s: {', '.join(silent)}"
                raise Rejected(named("ping_unanswered"), text)

        return all_answered

    async def _tell(self, client: Client, event: str, **more: object) -> None:
        await self._io.send(client.event(event, **more), "connection")


async def _first(wanted: trio.Event, other: trio.Event, deadline: float) -> bool:
    """Wait for either event until ``deadline`` of trio's clock; tell whether the first one came."""

    async def wait_for(event: trio.Event) -> None:
        await event.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = deadline
        nursery.start_soon(wait_for, wanted)
        nursery.start_soon(wait_for, other)
    return wanted.is_set()
