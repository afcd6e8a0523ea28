"""What waits to be written to a broker: one bounded buffer, and the window of QoS 1.

Nobody is woken a message: a publisher that finds room appends, and one write takes all that has
gathered. A publisher that has no more for now may :meth:`Outgoing.flush`: what the operating system
takes at once needs no change of task. Whoever published learns the end by a callback, called once: with a reason code (0x80 and
above refuse), or with :data:`LOST` when the connection ended first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from flowbus_mqtt.engine import Engine
from flowbus_mqtt.settings import Limits

LOST: Final = -1
"""No reason code: the connection ended, and whether the broker has the message is not known."""

OnDone = Callable[[int], None]

BUFFER: Final = 128 * 1024
"""Bytes above which nobody may publish; one packet may go over it."""


class TooLargeError(ValueError):
    """A packet is larger than the broker takes."""


class Outgoing:
    """The sending side of one connection."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        window: int = 65_535,
        write_now: Callable[[bytes], int] = lambda _: 0,
    ) -> None:
        """``write_now`` hands bytes to the operating system without waiting and says how many it took."""
        self._write_now = write_now
        self._engine = engine
        self._limits = limits
        self._window = min(window, limits.receive_maximum)
        self._pieces: list[bytes] = []
        self._written: list[OnDone] = []
        self._size = 0
        self._in_write = 0
        self._writer: trio.lowlevel.Task | None = None
        self._woken = False
        self._waiting: dict[trio.lowlevel.Task, Callable[[], bool]] = {}
        self._ended = False

    @property
    def buffered(self) -> int:
        """Bytes that are not yet handed to the operating system."""
        return self._size + self._in_write

    @property
    def in_flight(self) -> int:
        """Messages that the broker has not acknowledged."""
        return len(self._engine.unacked)

    # ---- publishing

    def has_room(self, qos: int) -> bool:
        """Tell whether :meth:`publish` may be called now."""
        if self._size + self._in_write >= BUFFER:
            return False
        return not qos or len(self._engine.unacked) < self._window

    def has_ample_room(self, qos: int) -> bool:
        """Tell whether half of it is free again: to fill that at once costs far fewer writes."""
        if self._size + self._in_write >= BUFFER:
            return False
        return not qos or len(self._engine.unacked) <= self._window // 2

    async def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until ``ready()``, which is asked whenever something was written or acknowledged."""
        task = trio.lowlevel.current_task()
        self._waiting[task] = ready

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._waiting[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def publish(
        self, topic: str, payload: bytes, qos: int, retain: bool, on_done: OnDone, *, wake: bool = True
    ) -> None:
        """Append one message. Raises TopicError, TooLargeError or ValueError and appends nothing then.

        ``on_done`` is called for QoS 0 when the packet was handed to the operating system. Without
        ``wake`` it is written with what comes next, or by :meth:`flush`.
        """
        if self._ended:
            on_done(LOST)
            return
        engine = self._engine
        data = engine.publish(topic, payload, qos, retain, on_done)
        if len(data) > self._limits.max_packet_size:
            if qos:
                engine.unacked.popitem()
            raise TooLargeError(
                f"the packet has {len(data)} bytes, the broker takes {self._limits.max_packet_size}"
            )
        if not qos:
            self._written.append(on_done)
        self._pieces.append(data)
        self._size += len(data)
        if wake:
            self._wake()

    def flush(self) -> None:
        """Hand what waits to the operating system; what it does not take at once, the writer writes."""
        if not self._pieces:
            return
        if self._in_write:
            self._wake()
            return
        data, written = self.take()
        count = self._write_now(data)
        if count == len(data):
            self.wrote(written)
            return
        self._in_write = 0
        self._pieces, self._written = [data[count:]], written
        self._size = len(data) - count
        self._wake()

    def write(self, data: bytes) -> None:
        """Append a packet that is no message."""
        if data and not self._ended:
            self._pieces.append(data)
            self._size += len(data)
            self._wake()

    def look_again(self) -> None:
        """Let publishers look again; called once for all acknowledgements of one read."""
        for task, ready in list(self._waiting.items()):
            if ready():
                del self._waiting[task]
                trio.lowlevel.reschedule(task)

    # ---- writing

    async def wait_output(self) -> None:
        """Wait until something was appended. For one task."""
        if not self._woken:
            self._writer = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._unpark)
        self._woken = False

    def take(self) -> tuple[bytes, list[OnDone]]:
        """Return all that waits, and whom to tell once it was written."""
        data, written = b"".join(self._pieces), self._written
        self._pieces, self._written = [], []
        self._in_write, self._size = self._size, 0
        return data, written

    def wrote(self, written: list[OnDone]) -> None:
        """Note that what :meth:`take` returned was handed to the operating system."""
        self._in_write = 0
        for done in written:
            done(0)
        if self._waiting:
            self.look_again()

    def lose(self, written: list[OnDone]) -> None:
        """Tell everyone whose message has no end yet that the connection has ended."""
        self._ended = True
        unacked = list(self._engine.unacked.values())
        self._engine.unacked.clear()
        for done in (*written, *self._written, *unacked):
            done(LOST)
        self._pieces, self._written = [], []
        self._size = 0
        for task in self._waiting:
            trio.lowlevel.reschedule(task)
        self._waiting.clear()

    def _wake(self) -> None:
        task, self._writer = self._writer, None
        if task is None:
            self._woken = True
        else:
            trio.lowlevel.reschedule(task)

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED
