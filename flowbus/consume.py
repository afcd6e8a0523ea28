"""Nodes whose work on a message is a plain call: it can be done in the task of the sender."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from flowbus.clock import Clock
from flowbus.counters import Counters
from flowbus.custody import Custody, Delivery
from flowbus.inbox import Item
from flowbus.outlets import Outlets
from flowbus.wire import Wire


class Sink(Protocol):
    """Where a node puts what it takes, and which ends each delivery by and by."""

    def has_room(self) -> bool:
        """Tell whether :meth:`put` may be called now."""
        ...

    async def wait_room(self) -> None:
        """Return when there is room, or at least when it is worth looking again."""
        ...

    def put(self, delivery: Delivery) -> None:
        """Take one delivery."""
        ...

    def flush(self) -> None:
        """Send what was put, there is no more for now."""
        ...


class Into:
    """Puts what comes over one wire into a sink, in the task of its sender."""

    is_end = True
    behind = False

    def __init__(
        self,
        sink: Sink,
        wire: Wire,
        custody: Custody,
        outlets: Outlets,
        clock: Clock,
        fail: Callable[[Exception], None],
    ) -> None:
        """``fail`` ends the node: what goes wrong in the sink must not become its sender's fault."""
        self._sink = sink
        self._wire = wire
        self._custody = custody
        self._outlets = outlets
        self._counters: Counters = outlets.counters
        self._clock = clock
        self._fail = fail

    def carry(self, items: Sequence[Item]) -> int:
        """Put messages into the sink while it has room; return how many."""
        sink, custody = self._sink, self._custody
        if custody.is_careful or not sink.has_room() or (self._outlets.error and self._outlets.overfull):
            return 0
        count = 0
        try:
            for message, receipt in items:
                if count and not sink.has_room():
                    break
                count += 1
                sink.put(custody.receive(message, receipt, self._wire))
            sink.flush()
        except Exception as error:  # noqa: BLE001  it is judged where the node runs
            self._fail(error)
        self._counters.taken += count
        self._counters.last = self._clock.now() + self._clock.epoch
        return count

    async def hand_over(self) -> None:
        """There is nothing behind a sink."""


async def consume(
    sink: Sink,
    custody: Custody,
    outlets: Outlets,
    clock: Clock,
    take_many: Callable[[], Awaitable[list[Delivery]]],
) -> None:
    """Put every message into ``sink``, for ever; raises what goes wrong in the sink."""
    failed: list[Exception] = []
    with trio.CancelScope() as scope:

        def fail(error: Exception) -> None:
            failed.append(error)
            scope.cancel()

        for wire in custody.wires:
            wire.direct = Into(sink, wire, custody, outlets, clock, fail)
        try:
            while True:
                for delivery in await take_many():
                    while not sink.has_room():
                        await sink.wait_room()
                    sink.put(delivery)
                sink.flush()
        finally:
            for wire in custody.wires:
                wire.direct = None
    if failed:
        raise failed[0]
