"""Gather messages into lists."""

from __future__ import annotations

from typing import Annotated

import trio
from msgspec import Meta

from flowbus import Config, Delivery, NodeIO, io_node


class Batch(Config):
    """Gather messages and send their payloads as one list."""

    size: Annotated[
        int, Meta(ge=1, le=100_000, description="Send the list when it has this many items.")
    ] = 100
    timeout: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Send a shorter list this many seconds after its first item came. With null "
            "it waits until it is full or the flow stops.",
        ),
    ] = 1.0


@io_node("batch")
async def batch(config: Batch, io: NodeIO) -> None:
    """Gather messages and send their payloads as one list.

    Topic, headers, id and time are those of the first message. All messages of a list end with
    it. While the flow stops, what is there is sent without waiting for more.
    """
    gathering = Gathering(config, io)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathering.flush_when_draining)
        while True:
            await gathering.fill()
            await gathering.send()


class Gathering:
    """The messages that the next list will have."""

    def __init__(self, config: Batch, io: NodeIO) -> None:
        self._io = io
        self._size = config.size
        self._timeout = float("inf") if config.timeout is None else config.timeout
        self._held: list[Delivery] = []
        self._filling = trio.CancelScope()
        io.details(lambda: {"held": len(self._held)})

    async def fill(self) -> None:
        """Return when the list is full or its time has come; it has one item at least."""
        self._held = await self._io.take_many(self._size)
        if len(self._held) == self._size:
            return
        with trio.CancelScope(deadline=trio.current_time() + self._timeout) as self._filling:
            if self._io.draining.is_set():
                self._filling.cancel()
            while len(self._held) < self._size:
                self._held += await self._io.take_many(self._size - len(self._held))

    async def send(self) -> None:
        """Send the list; the messages in it end with the list."""
        held, self._held = self._held, []
        first = held[0].message
        payloads = [delivery.message.payload for delivery in held]
        await self._io.send(first.with_payload(payloads), ends=held)

    async def flush_when_draining(self) -> None:
        """Send what is there when the flow stops."""
        await self._io.draining.wait()
        self._filling.cancel()
