"""Wires for status messages, which stand outside the ledger and never wait."""

from __future__ import annotations

from flowbus.message import Message
from flowbus.receipt import UNCOUNTED
from flowbus.wire import Wire


class StatusWire(Wire):
    """Carries status messages: never full, never waits; a slow reader gets the newest per node.

    ``keys`` of the items are their topics, which name the node.
    """

    __slots__ = ()

    def put_status(self, message: Message) -> None:
        """Take a status message in the place of an older one of the same node."""
        for index, (waiting, _) in enumerate(self._queue):
            if waiting.topic == message.topic:
                self._queue[index] = (message, UNCOUNTED)
                self.dropped += 1
                return
        self.force(message, UNCOUNTED)
