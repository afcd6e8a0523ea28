"""What a node has taken and not ended, and how it gets it back after a crash.

The rules:

- what a crashed node held goes back to its wires, in its old place;
- after a crash that lost several messages at once they are handed over one at a time, until as
  many have passed as were held: only so can one be told from the others;
- a message that was in hand alone when the node crashed by a bug is rejected;
- one that was in hand alone and lost its peer within a second, five times in a row, is a suspect.
  Then the message behind it goes first. If the peer is lost again, the network is to blame: both
  go back in their old order and the count starts anew. If it passes, the suspect has one more try;
  only when that loses the peer too is it poison.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

import msgspec
import trio

from flowbus.clock import SECOND, Clock
from flowbus.errors import Rejected
from flowbus.faults import BUG, LEAKED, POISON, Fault
from flowbus.inbox import Inbox, Item
from flowbus.message import Message
from flowbus.outlets import Outlets
from flowbus.receipt import CONFIRMED, Receipt
from flowbus.wire import Wire

STRIKES = 5
MANY = 1024
_FEW = 8
_OWN_REFERENCES = 4


class AlreadyEnded(RuntimeError):
    """A delivery was ended twice; that is a bug in the node."""


class Delivery(msgspec.Struct, gc=False, eq=False):
    """A message that a node has taken; it must be confirmed, rejected or sent on."""

    message: Message
    _receipt: Receipt | None
    _wire: Wire
    _outlets: Outlets
    _ended: trio.Event | None = None

    @property
    def open(self) -> bool:
        """True until the delivery has been ended or sent on."""
        return self._receipt is not None

    def confirm(self) -> None:
        """End it: the work is done."""
        receipt = self._receipt
        if receipt is None:
            raise AlreadyEnded("this delivery has ended before")
        self._receipt = None
        line = receipt.line
        if receipt.open == 1 and receipt.worst <= CONFIRMED and receipt.on_end is None and line is not None:
            # What Receipt.confirm() comes to for nearly all messages, without the call and without
            # counting down a branch that nobody will look at: a sink ends each of them here, and it
            # is a tenth of what a short flow costs.
            line.ended[CONFIRMED] += 1
        else:
            receipt.confirm()
        if self._ended is not None:
            self._ended.set()

    def drop(self) -> None:
        """End it: it is not wanted."""
        self.release().drop()

    def reject(self, reason: Fault | str, text: str = "") -> None:
        """End it: this message cannot be processed. It leaves by ``error`` if that is wired."""
        why = Rejected(reason, text)
        self._outlets.reject(self.message, self.release(), why.fault, why.text)

    def release(self) -> Receipt:
        """Hand the receipt over to whoever ends the message from now on."""
        receipt = self._receipt
        if receipt is None:
            raise AlreadyEnded("this delivery has ended before")
        self._receipt = None
        if self._ended is not None:
            self._ended.set()
        return receipt

    def is_late(self, now: int) -> bool:
        """Tell whether the message has outlived the time to live of the wire that it came by."""
        ttl, receipt = self._wire.ttl, self._receipt
        return ttl is not None and receipt is not None and now - receipt.born > ttl


class Custody:
    """The deliveries of one node, across its restarts."""

    def __init__(self, inbox: Inbox, outlets: Outlets, clock: Clock) -> None:
        self._inbox = inbox
        self._outlets = outlets
        self._clock = clock
        self._held: deque[Delivery] = deque()
        self._many = MANY  # from so many on, those that have ended are looked for among them
        self._careful = 0  # how many messages are still to be handed over alone
        self._handed_at: int | None = None  # when the node last got something and held nothing else
        self._one_at_a_time = trio.Lock()
        self._suspect: Message | None = None
        self._strikes = 0
        self._probe: Delivery | None = None
        self._others_pass = False

    @property
    def held(self) -> list[Delivery]:
        """What the node has in hand, oldest first."""
        return [delivery for delivery in self._held if delivery.open]

    @property
    def is_careful(self) -> bool:
        """True while messages are handed over one at a time, after a crash."""
        return self._careful > 0

    @property
    def wires(self) -> list[Wire]:
        """The wires that the node takes from."""
        return self._inbox.wires

    @property
    def may_prefetch(self) -> bool:
        """True if nothing can happen to a message on the wires but to be taken."""
        return all(wire.ttl is None and wire.when_full == "wait" for wire in self._inbox.wires)

    async def take(self, limit: int | None) -> list[Delivery]:
        """Take the next backlog off the inbox; after a crash, one message at a time."""
        if self._careful:
            async with self._one_at_a_time:
                return [await self._take_alone()]
        held = self._held
        if held and (held[0]._receipt is None or len(held) > self._many):
            self._forget_ended()
        wire, items = await self._inbox.take(limit)
        outlets = self._outlets
        deliveries = [Delivery(message, receipt, wire, outlets) for message, receipt in items]
        self._handed_at = None if held else self._clock.now()
        held.extend(deliveries)
        return deliveries

    def receive(self, message: Message, receipt: Receipt, wire: Wire) -> Delivery:
        """Take in a message that comes to an idle node without waiting on its wire."""
        held = self._held
        if held and (held[0]._receipt is None or len(held) > self._many):
            self._forget_ended()
        delivery = Delivery(message, receipt, wire, self._outlets)
        self._handed_at = None if held else self._clock.now()
        held.append(delivery)
        return delivery

    def _forget_ended(self) -> None:
        held = self._held
        # Mostly all have ended: one pass in a comprehension is fastest, unless there are but a few. It is
        # also made when there are many: one that stays open must not keep those behind it that have ended.
        if (held[-1]._receipt is None and len(held) > _FEW) or len(held) > self._many:
            still = [delivery for delivery in held if delivery._receipt is not None]
            held.clear()
            held.extend(still)
            self._many = max(MANY, 2 * len(held))
        else:
            while held and held[0]._receipt is None:
                held.popleft()

    async def take_first(self, wanted: Callable[[Message], bool]) -> Delivery:
        """Take the first message on any wire that is ``wanted``, out of its turn; all others stay."""
        wire, message = await self.wait_first(wanted)
        item = wire.withdraw(message)
        assert item is not None, "nothing has run since it was seen on the wire"
        return self.receive(*item, wire)

    async def wait_first(self, wanted: Callable[[Message], bool]) -> tuple[Wire, Message]:
        """Return the first message on any wire that is ``wanted``, once there is one; it stays there."""
        inbox = self._inbox
        inbox.watch(True)
        try:
            while True:
                for wire in inbox.wires:
                    if wire.ttl is not None:
                        wire.expire()
                    for message, _ in wire.waiting():
                        if wanted(message):
                            return wire, message
                await inbox.wait_change()
        finally:
            inbox.watch(False)

    # ---- after a crash

    def after_loss(self) -> None:
        """The node has lost its peer: find out whether a message is to blame, give all back."""
        held = self.held
        quick = self._handed_at is not None and self._clock.now() - self._handed_at <= SECOND
        if self._probe is not None and self._probe.open:
            self._give_back_with_suspect(held, self._probe._wire)
            return
        if len(held) == 1 and quick:
            alone = held[0]
            if alone.message is not self._suspect:
                self._forget_suspect()
                self._suspect = alone.message
            elif self._others_pass:
                times = f"{self._strikes + 1} times"
                alone.reject(POISON, f"the peer was lost {times} within a second of this message")
                self._forget_suspect()
                held = []
            self._strikes += 1
        self._give_back(held)

    def after_bug(self, fault: Fault = BUG, text: str = "") -> None:
        """The node crashed by a bug: one message alone is rejected, several are tried one by one."""
        held = self.held
        if len(held) == 1:
            held[0].reject(fault, text)
            held = []
        self._give_back(held)

    def find_leaked(self) -> None:
        """Reject every delivery that the node has let go of without ending it.

        Nobody but this custody refers to such a one any more, so nobody can ever end it. That is
        read off CPython's reference count once in a while, which costs the messages nothing.
        """
        held = self._held
        for delivery in list(held):
            # held, the list, the loop's name and getrefcount's argument
            if delivery.open and sys.getrefcount(delivery) <= _OWN_REFERENCES:
                delivery.reject(LEAKED)

    def settle(self, fault: Fault, text: str) -> None:
        """The node has returned for good: reject what it left open."""
        for delivery in self.held:
            delivery.reject(fault, text)
        self._held.clear()

    def _give_back(self, held: list[Delivery]) -> None:
        self._careful = max(self._careful, len(held))
        self._probe = None
        self._held.clear()
        by_wire: dict[int, tuple[Wire, list[Item]]] = {}
        for delivery in held:
            wire = delivery._wire
            items = by_wire.setdefault(id(wire), (wire, []))[1]
            items.append((delivery.message, delivery.release()))
        for wire, items in by_wire.values():
            wire.give_back(items)

    # ---- one at a time

    async def _take_alone(self) -> Delivery:
        await self._wait_alone()
        wants_probe = self._strikes >= STRIKES and not self._others_pass
        probe = self._take_other() if wants_probe else None
        if probe is None:
            wire, (item,) = await self._inbox.take(1)
            delivery = Delivery(*item, wire, self._outlets)
        else:
            self._probe = delivery = probe
        delivery._ended = trio.Event()
        self._handed_at = self._clock.now()
        self._held.append(delivery)
        return delivery

    async def _wait_alone(self) -> None:
        # Past a second the peer has outlived the message, and a node that joins messages ends
        # none before it has several: longer than that it is not kept waiting.
        held = self.held
        with trio.move_on_after(1.0):
            for delivery in held:
                if delivery._ended is not None:
                    await delivery._ended.wait()
        if not self._held:
            return
        self._careful = max(0, self._careful - 1)
        if self._probe is not None:
            self._probe, self._others_pass = None, True
            self._careful = max(self._careful, 1)
        elif not self._held[-1].open:
            self._forget_suspect()
        held = self.held
        self._held.clear()
        self._held.extend(held)

    def _take_other(self) -> Delivery | None:
        """The first message that is not the suspect, off its wire; the suspect keeps its place."""
        for wire in self._inbox.wires:
            for message, _ in wire.waiting():
                if message is not self._suspect and (item := wire.withdraw(message)) is not None:
                    return Delivery(*item, wire, self._outlets)
        return None

    def _give_back_with_suspect(self, held: list[Delivery], wire: Wire) -> None:
        """The peer was lost with the probe too: all go back in their old order."""
        suspect = None if self._suspect is None else wire.withdraw(self._suspect)
        self._forget_suspect()
        self._give_back(held)
        if suspect is not None:
            wire.give_back([suspect])

    def _forget_suspect(self) -> None:
        self._suspect, self._strikes = None, 0
        self._probe, self._others_pass = None, False
