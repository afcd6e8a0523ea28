"""What a message for the server is: a command, an answer to a request, or one for its clients."""

from __future__ import annotations

from flowbus import Delivery, Rejected
from flowbus_websocket.command import is_command
from flowbus_websocket.server.asking import HEADER, Asking
from flowbus_websocket.server.commands import Commands
from flowbus_websocket.server.posting import Posting


class Inbox:
    """Hands each message to whom it is for; they, or this, end it."""

    def __init__(self, posting: Posting, asking: Asking | None, commands: Commands) -> None:
        self._commands = commands
        self._posting = posting
        self._asking = asking

    async def take(self, delivery: Delivery) -> None:
        """Take one message in; returns when the next one may be taken."""
        if is_command(delivery.message):
            await self._commands.obey(delivery)
        elif self._asking is not None and HEADER in delivery.message.headers:
            self._answer(self._asking, delivery)
        else:
            await self._posting.post(delivery)

    def _answer(self, asking: Asking, delivery: Delivery) -> None:
        try:
            asking.answer(delivery.message)
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
        else:
            delivery.confirm()
