"""Keep the order of messages whose handlers run side by side."""

from __future__ import annotations

import trio


class Turnstile:
    """Lets handlers that run side by side send their results in the order of their messages."""

    def __init__(self) -> None:
        self._drawn = 0
        self._inside: dict[int, trio.Event] = {}

    def draw(self) -> int:
        """Return the next ticket."""
        self._drawn += 1
        self._inside[self._drawn] = trio.Event()
        return self._drawn

    async def wait_for(self, ticket: int) -> None:
        """Return when every earlier ticket has left."""
        for earlier in [other for other in self._inside if other < ticket]:
            event = self._inside.get(earlier)
            if event is not None:
                await event.wait()

    def leave(self, ticket: int) -> None:
        """Let the next one go."""
        self._inside.pop(ticket).set()
