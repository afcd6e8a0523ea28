"""The loop that calls a node's handler for every message, one at a time or several side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from flowbus.clock import SLICE, Clock
from flowbus.custody import Custody, Delivery
from flowbus.message import Message
from flowbus.node import Result
from flowbus.once import LateForOnce
from flowbus.outlets import Outlets
from flowbus.results import by_outlet, descend, put_all
from flowbus.supervisor import Kind, judge, leaves
from flowbus.turnstile import Turnstile
from flowbus.wire import Wire

Handler = Callable[[Message], Awaitable[Result]]
Leaving = list[tuple[Wire, Message]]


class Each:
    """Hands every message to ``handle``; what comes of it ends the message or descends from it."""

    def __init__(
        self,
        handle: Handler,
        custody: Custody,
        outlets: Outlets,
        take_many: Callable[[int | None], Awaitable[list[Delivery]]],
        clock: Clock,
    ) -> None:
        self._handle = handle
        self._custody = custody
        self._outlets = outlets
        self._take_many = take_many
        self._clock = clock

    async def run(self, limit: int) -> None:
        """Go on for ever, with up to ``limit`` messages in hand at once."""
        if limit <= 1:
            await self._one_by_one()
        turn = Turnstile()
        async with trio.open_nursery() as nursery:
            for _ in range(limit):
                nursery.start_soon(self._side_by_side, turn)

    async def _one_by_one(self) -> None:
        # Only a plain wire's backlog is taken in one go: what may expire or be dropped stays on it.
        limit = None if self._custody.may_prefetch else 1
        clock = self._clock
        while True:
            for delivery in await self._take_many(limit):
                leaving = await self._call(delivery)
                if leaving:
                    await self._send_on(delivery, leaving)
                elif delivery.open:
                    # Nothing to send, or nobody wants it: the node's own work is done.
                    delivery.confirm()
                if clock.now() - clock.pulse > SLICE:
                    await clock.give_way()

    async def _side_by_side(self, turn: Turnstile) -> None:
        while True:
            [delivery] = await self._take_many(1)
            ticket = turn.draw()
            try:
                leaving = await self._call(delivery)
                if leaving:
                    await turn.wait_for(ticket)
                    await self._send_on(delivery, leaving)
                elif delivery.open:
                    delivery.confirm()
            finally:
                turn.leave(ticket)

    async def _call(self, delivery: Delivery) -> Leaving:
        """Return what the handler returned as pairs of wire and message; the delivery may have ended."""
        try:
            result = await self._handle(delivery.message)
            if result is None:
                return []
            return [(wire, m) for outlet, m in by_outlet(result) for wire in self._outlets.wires(outlet)]
        except Exception as error:
            if any(isinstance(leaf, LateForOnce) for leaf in leaves(error)):
                delivery.release().expire(f"too old when {self._outlets.node} came to write it")
                return []
            verdict = judge(error)
            if delivery.open and verdict.kind in (Kind.REFUSED, Kind.BUG):
                delivery.reject(verdict.fault, verdict.text)
            if verdict.kind is Kind.REFUSED:
                return []
            raise  # the supervisor logs it and starts the node anew

    async def _send_on(self, delivery: Delivery, leaving: Leaving) -> None:
        receipt = delivery.release()
        receipt.fork(len(leaving) - 1)
        self._outlets.counters.results += 1
        left = [(wire, descend(message, delivery.message), receipt) for wire, message in leaving]
        await put_all(left)
