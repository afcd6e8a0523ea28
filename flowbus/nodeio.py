"""What a running I/O node may do: take messages, send messages, say how it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import trio
from msgspec.structs import force_setattr

from flowbus.clock import SLICE, Clock
from flowbus.config import Config
from flowbus.connections import Handle, follow_until_up
from flowbus.consume import Sink, consume
from flowbus.counters import Counters
from flowbus.custody import Custody, Delivery
from flowbus.each import Each, Handler
from flowbus.errors import ConfigError, Lost
from flowbus.faults import Fault
from flowbus.gate import Gate
from flowbus.inbox import Item
from flowbus.ledger import Line
from flowbus.message import Message
from flowbus.once import Once
from flowbus.outlets import Outlets
from flowbus.receipt import End, OnEnd, Receipt, join
from flowbus.results import descend, put_all
from flowbus.status import State, StatusCell
from flowbus.wire import Wire

ALONE = 100_000  # ns since the one before after which a message is said to come alone
MANY = 16  # messages that are worth a call through all transforms of a segment

_ids = iter(range(1, 1 << 62))
next_id = _ids.__next__


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a node and outlives its restarts; ``connections`` are those of the flow."""

    name: str
    clock: Clock
    gate: Gate
    cell: StatusCell
    counters: Counters
    line: Line
    outlets: Outlets
    custody: Custody
    connections: Mapping[str, Handle]
    memory: dict[str, Any]


class NodeIO:
    """A running node's only way to touch the rest of the program; a new one for each start."""

    def __init__(self, seat: Seat, config: Config) -> None:
        self.name = seat.name
        self.scope = trio.CancelScope()
        self.draining = seat.gate.draining
        #: What the node wants to know at its next start; it lasts as long as the flow runs.
        self.memory = seat.memory
        #: For which messages to start the node again at once when its peer was lost.
        self.wakes: Callable[[Message], bool] | None = None
        self._connections = seat.connections
        self._config = config
        self._clock = seat.clock
        self._gate = seat.gate
        self._cell = seat.cell
        self._counters = seat.counters
        self._line = seat.line
        self._outlets = seat.outlets
        self._custody = seat.custody
        self._last_sent = 0
        self._now = seat.clock.now
        self._wires = seat.outlets.by_name
        self._handles: list[Handle] = []
        self._said_ready = False
        self.shown_details: Callable[[], Mapping[str, Any]] = dict

    # ---- how it is

    def connected(self, text: str = "") -> None:
        """Say that the node does its job."""
        self._said_ready = True
        self._cell.set(State.RUNNING, text=text)

    def degraded(self, fault: Fault | str, text: str) -> None:
        """Say that it works but something is wrong; :meth:`connected` takes that back."""
        self._said_ready = True
        self._cell.set(State.DEGRADED, fault if isinstance(fault, str) else fault.code, text)

    def fault(self, fault: Fault | str, text: str) -> None:
        """Count something that went wrong and is tied to no message; logged once a minute a kind."""
        why = Lost(fault, text)
        self._outlets.faults.note(why.fault, why.text)

    def details(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        """Have ``snapshot()`` shown by ``flowbus status --json``."""
        self.shown_details = snapshot

    async def connection(self, option: str = "connection") -> Any:
        """Wait for the connection that ``option`` names; when it is lost this node is restarted."""
        name = str(getattr(self._config, option, ""))
        if name not in self._connections:
            raise ConfigError(f"{self.name}: option {option!r} names no connection: {name!r}")
        handle = self._connections[name]
        value = await follow_until_up(handle, self._cell)
        handle.use(self.scope)
        self._handles.append(handle)
        return value

    def lost_connection(self) -> Handle | None:
        """The connection that this node uses and that is down, if one is."""
        return next((handle for handle in self._handles if not handle.uses(self.scope)), None)

    def leave(self) -> None:
        """Let go of the connections: the node has stopped."""
        for handle in self._handles:
            handle.leave(self.scope)

    # ---- sending

    async def send(
        self,
        message: Message,
        outlet: str = "out",
        *,
        ends: Iterable[Delivery] = (),
        on_end: OnEnd | None = None,
    ) -> None:
        """Begin a new message, or with ``ends`` one that descends from those deliveries.

        Waits while a wire is full. Once it waits the message is the flow's, even if the wait is
        cancelled; while the flow stops a new one is not taken in at all. ``on_end`` is called
        once, from whatever task ends the message, and must not raise.
        """
        now = self._now()
        # The turn of others comes after the message is counted: a cancellation there would lose it.
        is_due = now - self._clock.pulse > SLICE or not self._said_ready
        if is_due and not self._said_ready:
            self.connected()
        if ends:
            await self._send_descendant(message, outlet, list(ends))
            if is_due:
                await self._clock.give_way()
            return
        if self._gate.closed:
            await self._gate.park()
        wires = self._wires.get(outlet) or self._outlets.wires(outlet)
        if message.id:  # it was emitted before, and what travels must not change
            message = message.copy()
        force_setattr(message, "id", next_id())
        if not message.time:
            force_setattr(message, "time", now + self._clock.epoch)
        line = self._line
        line.emitted += 1
        receipt = Receipt(line, now, on_end)
        last, self._last_sent = self._last_sent, now
        if len(wires) != 1:
            await self._fan_out(wires, message, receipt)
        elif now - last > ALONE:
            wire = wires[0]
            if (rest := wire.carry(((message, receipt),))) or wire.behind:
                await wire.settle(rest)
        elif not wires[0].put_nowait(message, receipt):
            await put_all([(wires[0], message, receipt)])
        if is_due:
            await self._clock.give_way()

    async def send_many(self, messages: Sequence[Message], outlet: str = "out") -> None:
        """Begin new messages, in this order; cheaper than :meth:`send` one by one."""
        if len(messages) == 1:
            await self.send(messages[0], outlet)
            return
        now = self._now()
        is_due = now - self._clock.pulse > SLICE or not self._said_ready
        if is_due and not self._said_ready:
            self.connected()
        if self._gate.closed:
            await self._gate.park()
        wires = self._outlets.wires(outlet)
        line, moment = self._line, now + self._clock.epoch
        stamp = force_setattr
        items: list[Item] = []
        for message, number in zip(messages, _ids):  # noqa: B905  the ids have no end
            if message.id:
                message = message.copy()
            stamp(message, "id", number)
            if not message.time:
                stamp(message, "time", moment)
            items.append((message, Receipt(line, now)))
        line.emitted += len(items)
        last, self._last_sent = self._last_sent, now
        if len(wires) != 1:
            for message, receipt in items:
                await self._fan_out(wires, message, receipt)
        elif now - last > ALONE or len(items) >= MANY:
            wire = wires[0]
            if (rest := wire.carry(items)) or wire.behind:
                await wire.settle(rest)
        else:
            await wires[0].put_many(items)
        if is_due:
            await self._clock.give_way()

    async def _send_descendant(self, message: Message, outlet: str, ends: list[Delivery]) -> None:
        wires = self._outlets.wires(outlet)
        receipt = join([delivery.release() for delivery in ends])
        self._counters.results += 1
        await self._fan_out(wires, descend(message, ends[0].message), receipt)

    async def _fan_out(self, wires: tuple[Wire, ...], message: Message, receipt: Receipt) -> None:
        if not wires:
            receipt.drop()
            return
        receipt.fork(len(wires) - 1)
        await put_all([(wire, message, receipt) for wire in wires])

    def is_wired(self, outlet: str = "out") -> bool:
        """Tell whether anybody hears what leaves by ``outlet``."""
        return bool(self._outlets.wires(outlet))

    def overflow(self, outlet: str = "out") -> int:
        """Return how many messages the wires of ``outlet`` have dropped or rejected when full."""
        return sum(wire.overflow for wire in self._outlets.wires(outlet))

    async def deliver(self, message: Message, outlet: str = "out") -> End:
        """Begin a new message and wait for its end."""
        ended = trio.Event()
        ends: list[End] = []

        def on_end(end: End) -> None:
            ends.append(end)
            ended.set()

        await self.send(message, outlet, on_end=on_end)
        await ended.wait()
        return ends[0]

    async def _give_way(self) -> int:
        """Let the scheduler in; return the time after it."""
        if not self._said_ready:
            self.connected()
        return await self._clock.give_way()

    # ---- taking

    async def take(self) -> Delivery:
        """Take the next message; it must be ended, see :class:`Delivery`."""
        return (await self.take_many(1))[0]

    async def take_many(self, limit: int | None = None) -> list[Delivery]:
        """Take what waits on the next wire in turn, at least one message and at most ``limit``."""
        if self._outlets.error and self._outlets.overfull:
            await self._outlets.wait_not_overfull()
        now = self._now()
        if now - self._clock.pulse > SLICE or not self._said_ready:
            now = await self._give_way()
        deliveries = await self._custody.take(limit)
        self._counters.taken += len(deliveries)
        self._counters.last = now + self._clock.epoch
        return deliveries

    async def take_first(self, wanted: Callable[[Message], bool]) -> Delivery:
        """Take the first message that is ``wanted``, wherever it stands on its wire, and no other.

        For a node that has to hear of something while it cannot do its work: what it does not
        want keeps its place.
        """
        delivery = await self._custody.take_first(wanted)
        self._counters.taken += 1
        return delivery

    def wake_for(self, wanted: Callable[[Message], bool]) -> None:
        """Have the node started again at once, whatever its delay, for a message that is ``wanted``.

        It has to take that message, by :meth:`take_first`, before anything of it can fail.
        """
        self.wakes = wanted

    async def consume(self, sink: Sink) -> None:
        """Put every message into ``sink``, which ends it by and by; never returns.

        For a node that hands messages on by a plain call, to a bounded buffer it has. What comes
        while it waits is put in the task of the sender: ``put`` and ``flush`` must not depend on it.
        """
        await consume(sink, self._custody, self._outlets, self._clock, self.take_many)

    async def each(self, handle: Handler, limit: int = 1) -> None:
        """Call ``handle(message)`` for every message, up to ``limit`` at once; never returns.

        What it returns descends from its message and leaves in the order of the messages; None
        confirms the message. :class:`Rejected` rejects it; losing the peer puts it back.
        """
        each = Each(handle, self._custody, self._outlets, self.take_many, self._clock)
        await each.run(limit)

    def once(self, message: Message | Delivery) -> Once:
        """Mark the await whose outcome cannot be known if it is interrupted (a PLC write).

        Leaving the block by cancellation, loss of the peer or a bug rejects the message with
        ``flowbus.unconfirmed``. Inside :meth:`each`, entering it ends a message that has outlived
        its time to live; a delivery is checked when it is taken.
        """
        if isinstance(message, Delivery):
            return Once(message, None)
        return Once(self._delivery_of(message), self._clock)

    def _delivery_of(self, message: Message) -> Delivery:
        held = self._custody.held
        for delivery in held:
            if delivery.message is message:
                return delivery
        for delivery in held:
            if delivery.message.id == message.id:
                return delivery
        raise ValueError(f"{self.name} does not hold the message that it wants to write once")
