"""Wires: bounded one-way queues between nodes. They outlive the nodes they join.

The rules:

- order holds within a wire, and what its reader gives back goes to its old place;
- a full wire does what ``when_full`` says; ``wait`` lets a sender go on once half of it is free,
  so that both sides work in batches instead of changing tasks for every message;
- with a time to live it ends messages that are too old on time, even while nobody reads;
- only what cannot wait (a rejected message on its way to the error branch, the rest of a
  cancelled send) may exceed the capacity, by no more than its sender held.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import trio

from flowbus.clock import SECOND, Clock
from flowbus.faults import WIRE_FULL, Fault
from flowbus.inbox import Direct, Inbox, Item
from flowbus.message import Message
from flowbus.receipt import Receipt
from flowbus.waitqueue import WaitQueue

WhenFull = Literal["wait", "drop-oldest", "drop-newest", "reject"]
Reject = Callable[[Message, Receipt, Fault, str], None]


class Wire:
    """One sender's queue into one node's inbox. ``ttl`` is in seconds, ``capacity`` in messages."""

    __slots__ = (
        "_alarm", "_due", "_on_reject", "_plain", "_queue", "_refusal", "_senders", "_taken",
        "_why_full", "capacity", "clock", "direct", "dropped", "high", "inbox", "marked", "name", "overflow",
        "ttl", "when_full",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        inbox: Inbox,
        clock: Clock,
        *,
        capacity: int = 128,
        when_full: WhenFull = "wait",
        ttl: float | None = None,
        on_reject: Reject | None = None,
        why_full: Callable[[], str] = str,
    ) -> None:
        """``why_full`` says what keeps the reader from reading, for the text of a rejection."""
        self.name = name
        self.inbox = inbox
        self.clock = clock
        self.capacity = capacity
        self.when_full = when_full
        self.ttl = None if ttl is None else int(ttl * SECOND)
        self.marked = False
        self.direct: Direct | None = None  # who may work on what comes without a change of task
        self.dropped = 0
        self.overflow = 0  # how many of those because it was full
        self.high = 0
        self._taken = 0
        self._queue: deque[Item] = deque()
        self._senders = WaitQueue()  # each wants room for so many messages
        self._refusal: tuple[Fault, str] | None = None
        self._on_reject = on_reject
        self._why_full = why_full
        self._plain = self.ttl is None  # nothing is to be looked at but the room
        self._alarm = trio.Event()
        self._due: float = math.inf
        inbox.wires.append(self)

    @property
    def depth(self) -> int:
        """Messages that wait on this wire now."""
        return len(self._queue)

    @property
    def roomy(self) -> bool:
        """True while at least half of the capacity is free."""
        return len(self._queue) <= self.capacity // 2

    @property
    def overfull(self) -> bool:
        """True while more waits than the capacity allows."""
        return len(self._queue) > self.capacity

    def as_dict(self) -> dict[str, Any]:
        """Return the counters as the report shows them."""
        depth = len(self._queue)
        return {
            "passed": self._taken + depth,
            "dropped": self.dropped,
            "depth": depth,
            "high": max(self.high, depth),
        }

    def waiting(self) -> Iterable[Item]:
        """The items on the wire, oldest first."""
        return tuple(self._queue)

    # ---- the sender's side

    def put_nowait(self, message: Message, receipt: Receipt) -> bool:
        """Take the message, or end it by this wire's policy; False if the sender has to wait."""
        queue = self._queue
        if self._plain and len(queue) < self.capacity:
            if not queue:
                self.inbox.mark(self)
            queue.append((message, receipt))
            return True
        return self._put_guarded(message, receipt)

    def carry(self, items: Sequence[Item]) -> Sequence[Item]:
        """Have an idle reader do its work in the task of the sender; return the items that are left.

        The sender then has to wait for :meth:`settle`, unless there are none and nothing is ``behind``.
        """
        direct = self.direct
        if direct is None or not self._plain or not self.inbox.idle:
            return items
        count = direct.carry(items)
        self._taken += count
        return items[count:] if count < len(items) else ()

    @property
    def behind(self) -> bool:
        """True while something that the reader has computed has not found its place."""
        return self.direct is not None and self.direct.behind

    async def settle(self, rest: Sequence[Item]) -> None:
        """Take what :meth:`carry` has left, or wait until what came of it has found its place."""
        if rest:
            await self.put_many(rest)
        elif self.direct is not None:
            await self.direct.hand_over()

    async def put(self, message: Message, receipt: Receipt) -> None:
        """Take the message, waiting for room where the policy is to wait."""
        if not self.put_nowait(message, receipt):
            await self._wait_to_put(message, receipt, 1)
            self._let_senders_go_on()

    async def put_many(self, items: Sequence[Item]) -> None:
        """Take all of ``items`` in order; cheaper than one by one.

        The wire has them even if the wait for room is cancelled: they were received.
        """
        start, waited = 0, False
        try:
            while start < len(items):
                room = self.capacity - len(self._queue)
                if not self._plain or room <= 0:
                    if not self.put_nowait(*items[start]):
                        waited = True
                        await self._wait_to_put(*items[start], len(items) - start)
                    start += 1
                    continue
                if not self._queue:
                    self.inbox.mark(self)
                self._queue.extend(items[start : start + room] if start or room < len(items) else items)
                start += room
        except BaseException:
            for item in items[start:]:
                self.force(*item)
            raise
        if waited:
            self._let_senders_go_on()

    async def _wait_to_put(self, message: Message, receipt: Receipt, wanted: int) -> None:
        """Take the message once there is room; the sender has ``wanted`` messages for it.

        Whoever was woken lets others go on when it is done: it may have left room to them.
        """
        while not self.put_nowait(message, receipt):
            await self._senders.wait(wanted)

    def force(self, message: Message, receipt: Receipt) -> None:
        """Take what cannot wait, beyond the capacity if need be."""
        if not self.put_nowait(message, receipt):
            if not self._queue:
                self.inbox.mark(self)
            self._queue.append((message, receipt))

    async def wait_not_overfull(self) -> None:
        """Return once what was forced onto the wire fits its capacity."""
        while self.overfull:
            await self._senders.wait()

    def _put_guarded(self, message: Message, receipt: Receipt) -> bool:
        if self._refusal is not None:
            self._reject(message, receipt, *self._refusal)
            return True
        if self.ttl is not None and self.clock.now() - receipt.born > self.ttl:
            self._expire(receipt)
            return True
        if len(self._queue) >= self.capacity:
            if self.when_full == "wait":
                return False
            self.dropped += 1
            self.overflow += 1
            if self.when_full == "reject":
                text = f"{self.name} holds {self.capacity}{self._why_full()}"
                self._reject(message, receipt, WIRE_FULL, text)
                return True
            if self.when_full == "drop-newest":
                receipt.drop()
                return True
            self._queue.popleft()[1].drop()
        if self.ttl is not None and receipt.born + self.ttl < self._due:
            self._alarm.set()
        if not self._queue or self.inbox.watched:
            self.inbox.mark(self)
        self._queue.append((message, receipt))
        return True

    # ---- the reader's side

    def remove(self, limit: int | None = None) -> list[Item]:
        """Take up to ``limit`` items (all by default) off the wire, oldest first."""
        if self.ttl is not None:
            self.expire()
        queue = self._queue
        depth = len(queue)
        if depth > self.high:
            self.high = depth
        if limit is None or limit >= depth:
            items = list(queue)
            queue.clear()
        else:
            items = [queue.popleft() for _ in range(limit)]
        self._taken += len(items)
        self._let_senders_go_on()
        return items

    def give_back(self, items: list[Item]) -> None:
        """Put items that :meth:`remove` returned back in their old place, oldest first."""
        if not items:
            return
        self._taken -= len(items)
        if self._refusal is not None:
            for message, receipt in items:
                self._reject(message, receipt, *self._refusal)
            return
        self._queue.extendleft(reversed(items))
        if self.ttl is not None:
            self._alarm.set()
        self.inbox.mark(self)

    def withdraw(self, message: Message) -> Item | None:
        """Take this one message (the very object) off the wire, from wherever it stands."""
        for index, item in enumerate(self._queue):
            if item[0] is message:
                del self._queue[index]
                self._taken += 1
                self._let_senders_go_on()
                return item
        return None

    def refuse(self, fault: Fault, text: str) -> None:
        """Reject what waits and whatever comes, until :meth:`accept`."""
        self._refusal = (fault, text)
        self.see_policy()
        waiting = list(self._queue)
        self._queue.clear()
        for message, receipt in waiting:
            self._reject(message, receipt, fault, text)
        self._senders.wake_all()

    def accept(self) -> None:
        """Take messages again after :meth:`refuse`."""
        self._refusal = None
        self.see_policy()

    def see_policy(self) -> None:
        """Take note that what is done with a message has changed."""
        self._plain = self.ttl is None and self._refusal is None and not self.inbox.watched

    # ---- time to live

    def expire(self) -> None:
        """End every message that is older than the time to live."""
        assert self.ttl is not None
        oldest = self.clock.now() - self.ttl
        if not any(receipt.born < oldest for _, receipt in self._queue):
            return
        stale = [receipt for _, receipt in self._queue if receipt.born < oldest]
        self._queue = deque(item for item in self._queue if item[1].born >= oldest)
        for receipt in stale:
            self._expire(receipt)
        self._let_senders_go_on()

    async def expire_on_time(self) -> None:
        """Watch a wire with a time to live; runs beside the nodes, for ever."""
        assert self.ttl is not None
        while True:
            self._alarm = trio.Event()
            self.expire()
            oldest = min((receipt.born for _, receipt in self._queue), default=None)
            self._due = math.inf if oldest is None else oldest + self.ttl
            left = (self._due - self.clock.now()) / SECOND
            # A reading of the clock can lie just before the deadline: wake a little after it.
            with trio.move_on_after(min(left + 0.001, 3600.0)):
                await self._alarm.wait()

    def _expire(self, receipt: Receipt) -> None:
        self.dropped += 1
        assert self.ttl is not None
        receipt.expire(f"older than {self.ttl / SECOND:g} s on the wire {self.name}")

    # ---- shared

    def _let_senders_go_on(self) -> None:
        """Wake as many as there is room for: those who find none would only wait again."""
        if self._senders and self.roomy:
            self._senders.wake_for(self.capacity - len(self._queue))

    def _reject(self, message: Message, receipt: Receipt, fault: Fault, text: str) -> None:
        if self._on_reject is None:
            receipt.reject(fault.code, text)
        else:
            self._on_reject(message, receipt, fault, text)
