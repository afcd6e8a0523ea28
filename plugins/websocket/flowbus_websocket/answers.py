"""Messages that are done once the server has answered a ping behind them.

WebSocket has no acknowledgement, but what answers a Ping has read everything before it (RFC 6455,
section 5.5.3). Until then a message is the sender's, and is sent again when the connection is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from flowbus import Delivery
from flowbus_websocket.channel import Channel

# Chunks that may await an answer, each of 64 KiB or of what was waiting. After a loss the core hands
# over one by one what was in flight, each of them a round trip: more would take long to get over.
IN_FLIGHT: Final = 4


class Answers:
    """Sends chunks of messages, each with a ping behind it, and confirms what is answered."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = 0
        self._open: deque[tuple[trio.Event, list[Delivery]]] = deque()
        self._sent = trio.Event()

    async def send(self, frames: bytes, chunk: list[Delivery]) -> None:
        """Send a chunk once not too many await their answer; ConnectionEnded as the channel's send."""
        while len(self._open) >= IN_FLIGHT:
            await self._open[0][0].wait()
            self._confirm_answered()
        self._number += 1
        payload = b"%d" % self._number
        self._open.append((self._channel.pings.expect(payload), chunk))
        self._sent.set()
        await self._channel.send(frames + self._channel.encoder.ping(payload))

    async def confirm(self) -> None:
        """Confirm messages as they are answered, for ever."""
        while True:
            await self._sent.wait()
            self._sent = trio.Event()
            while self._open:
                await self._open[0][0].wait()
                self._confirm_answered()

    def rest(self) -> list[Delivery]:
        """Confirm what is answered, and return what is not and never will be."""
        self._confirm_answered()
        return [delivery for _, chunk in self._open for delivery in chunk]

    def _confirm_answered(self) -> None:
        while self._open and self._open[0][0].is_set():
            for delivery in self._open.popleft()[1]:
                delivery.confirm()
