"""What a message for the server is: a command, an answer to a request, or one for its clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import trio

from flowbus import Delivery, Message, NodeIO, Rejected
from flowbus_websocket.command import is_command
from flowbus_websocket.server.asking import HEADER, Asking
from flowbus_websocket.server.commands import Commands
from flowbus_websocket.server.posting import Posting, Wait


class Inbox:
    """Hands each message to whom it is for; they, or this, end it.

    While a message waits for room at a slow client, those behind it wait too, but for commands and
    answers to requests: one of them may be what ends the waiting.
    """

    def __init__(
        self, io: NodeIO, posting: Posting, asking: Asking | None, commands: Commands
    ) -> None:
        self._io = io
        self._posting = posting
        self._asking = asking
        self._commands = commands

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take messages in; returns when the next ones may be taken."""
        rest = deque(deliveries)
        while rest:
            delivery = rest.popleft()
            if self._overtakes(delivery.message):
                await self._obey(delivery)
            elif (wait := self._posting.post(delivery)) is not None:
                await self._wait(wait, rest)

    def _overtakes(self, message: Message) -> bool:
        headers = message.headers
        return bool(headers) and (
            is_command(message) or (self._asking is not None and HEADER in headers)
        )

    async def _wait(self, wait: Wait, rest: deque[Delivery]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_meanwhile, rest)
            await wait()
            nursery.cancel_scope.cancel()

    async def _obey_meanwhile(self, rest: deque[Delivery]) -> None:
        for delivery in [one for one in rest if self._overtakes(one.message)]:
            rest.remove(delivery)
            await self._obey_to_the_end(delivery)
        while True:
            await self._obey_to_the_end(await self._io.take_first(self._overtakes))

    async def _obey_to_the_end(self, delivery: Delivery) -> None:
        with trio.CancelScope(shield=True):  # nobody else knows of it any more
            await self._obey(delivery)

    async def _obey(self, delivery: Delivery) -> None:
        if is_command(delivery.message):
            await self._commands.obey(delivery)
            return
        assert self._asking is not None
        try:
            self._asking.answer(delivery.message)
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
        else:
            delivery.confirm()
