"""The gate that every new message passes; it closes when the flow stops."""

from __future__ import annotations

import trio


class Gate:
    """While closed, sources park before their message is counted; ``draining`` tells the holders."""

    def __init__(self) -> None:
        self.closed = False
        self.draining = trio.Event()

    def close(self) -> None:
        """Let no new message in any more."""
        self.closed = True
        self.draining.set()

    async def park(self) -> None:
        """Wait for ever: a closed gate does not open again."""
        await trio.sleep_forever()
