"""A reader of a wire that needs no change of task for a message that comes alone."""

from __future__ import annotations

from typing import Protocol

from flowbus.message import Message
from flowbus.receipt import Receipt


class Direct(Protocol):
    """A reader that can do its work in the task of the sender; ``is_end`` if nothing is behind it."""

    @property
    def is_end(self) -> bool:
        """True for a sink."""
        ...

    def carry(self, message: Message, receipt: Receipt) -> bool:
        """Do the work for one message; False if that cannot be now."""
        ...

    async def hand_over(self) -> None:
        """Wait until what came of it has found its place."""
        ...
