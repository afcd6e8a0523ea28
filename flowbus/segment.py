"""Segments: a task that takes a backlog off an inbox and carries it through a tree of transforms.

Inside a segment there are no queues and no task switches. The backlog moves from stage to stage as
two lists side by side, messages and their receipts, so the cost of dispatch is shared by a whole
chunk and what is left for each message is the call of the transform itself. A chunk is as large as
two milliseconds allow, so one slow transform does not hold up the rest of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowbus.clock import SECOND, SLICE, Clock
from flowbus.config import Config
from flowbus.counters import Counters
from flowbus.errors import ConfigError, Rejected
from flowbus.faults import BLOCKED_LOOP, BUG, CONFIG, Fault
from flowbus.inbox import Inbox, Item
from flowbus.message import Message
from flowbus.node import NodeType, Result
from flowbus.outlets import Outlets, unknown_outlet
from flowbus.receipt import Receipt
from flowbus.results import by_outlet, descend
from flowbus.status import State, StatusCell
from flowbus.supervisor import describe_error
from flowbus.wire import Wire

CHUNK = 128
BLOCKED = SECOND // 4  # ns that a chunk may take before the node is said to hold up the program
HEALTHY_AFTER = 60 * SECOND  # ns without a bug after which a degraded transform is well again

Messages = Sequence[Message]
Receipts = Sequence[Receipt]
Target = Callable[[Messages, Receipts], None]


class _Ended:
    """Stands in a stage's results for a message that has been rejected."""


_ENDED: Any = _Ended()


class Outgoing:
    """Collects what a chunk sends to one wire that leaves the segment."""

    __slots__ = ("items", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.items: list[Item] = []

    def collect(self, messages: Messages, receipts: Receipts) -> None:
        """Remember messages until the chunk is through."""
        self.items.extend(zip(messages, receipts, strict=True))

    def pass_on(self) -> bool:
        """Have a sink that waits take what was collected; True if nothing is left of it."""
        direct = self.wire.direct
        # Into a sink only: from segment to segment the calls would nest without end.
        if direct is not None and direct.is_end:
            self.items = [*self.wire.carry(self.items)]
        return not self.items

    async def flush(self) -> None:
        """Put on the wire what was collected."""
        items, self.items = self.items, []
        await self.wire.put_many(items)

    def force(self) -> None:
        """Put on the wire what was collected, beyond its capacity if need be."""
        for item in self.items:
            self.wire.force(*item)
        self.items = []


def _refuse(fault: Fault, text: str) -> Callable[..., Result]:
    def refuse(message: Message) -> Message:
        raise Rejected(fault, text)

    return refuse


class Stage:
    """One transform in a segment, with the stages and wires behind each of its outlets."""

    def __init__(
        self,
        name: str,
        node_type: NodeType,
        decode: Callable[[], Config],
        outlets: Outlets,
        cell: StatusCell,
        clock: Clock,
    ) -> None:
        self.name = name
        self.type = node_type
        self.outlets = outlets
        self.counters: Counters = outlets.counters
        self.cell = cell
        self.targets: dict[str, tuple[Target, ...]] = dict.fromkeys(outlets.by_name, ())
        self._decode = decode
        self._clock = clock
        self._now = clock.now
        self._well_after = 0  # when a degraded state ends
        self._config: Config | None = None
        self._function: Callable[..., Result] = _refuse(CONFIG, "not started yet")

    def add_target(self, outlet: str, target: Target) -> None:
        """Let what leaves ``outlet`` go to ``target``."""
        self.targets[outlet] = (*self.targets[outlet], target)

    def run(self, messages: Messages, receipts: Receipts) -> None:
        """Carry a chunk through this transform and everything behind it."""
        now, counters = self._now, self.counters
        started = now()
        results = self._call_all(messages, receipts)
        took = now() - started
        counters.taken += len(messages)
        counters.busy += took
        if took > BLOCKED:
            self._held_up(len(messages), took)
        kinds = set(map(type, results))
        if len(kinds) == 1 and Message in kinds:
            self._forward("out", results, receipts)
        else:
            self._sort_out(messages, receipts, results)

    def _renew(self) -> None:
        """Start with fresh options and state; if that is impossible, refuse messages and say why."""
        try:
            config = self._decode()
            function, own = self.type.callable(config)
        except Exception as error:  # noqa: BLE001  whatever a plugin does, only this node suffers
            fault, text = CONFIG, describe_error(error)
            if isinstance(error, ConfigError):
                fault, text = error.fault, str(error)
            self.outlets.faults.note(fault, text, error)
            self.cell.set(State.FAILED, fault.code, text)
            self._function, self._config = _refuse(fault, text), None
        else:
            self._function, self._config = function, own

    def _call_all(self, messages: Messages, receipts: Receipts) -> list[Any]:
        results: list[Any] = []
        append = results.append
        left = iter(messages)
        while True:
            call, config = self._function, self._config  # a bug renews them
            try:
                if config is None:  # an instance of a class, which has its own
                    for message in left:
                        append(call(message))
                else:
                    for message in left:
                        append(call(message, config))
            except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001  likewise
                index = len(results)
                self._failed(messages[index], receipts[index], error)
                append(_ENDED)
            else:
                return results

    def _failed(self, message: Message, receipt: Receipt, error: BaseException) -> None:
        if isinstance(error, Rejected):
            self.outlets.reject(message, receipt, error.fault, error.text)
            return
        text = describe_error(error)
        self.outlets.reject(message, receipt, BUG, text, error)
        self.degrade(BUG.code, text)
        self._renew()

    def start(self) -> None:
        """Make it ready for the first message."""
        self._renew()
        if self.cell.value.state is State.STARTING:
            self.cell.set(State.RUNNING)

    def degrade(self, code: str, text: str) -> None:
        """Say that something is wrong; a minute without another fault takes that back."""
        self._well_after = self._clock.now() + HEALTHY_AFTER
        self.cell.set(State.DEGRADED, code, text)

    def recover(self) -> None:
        """Called now and then: a degraded transform that had no fault for a minute is well again."""
        if self._well_after and self._clock.now() >= self._well_after:
            self._well_after = 0
            self.cell.set(State.RUNNING)

    def _held_up(self, count: int, took: int) -> None:
        text = f"{took / SECOND:.1f} s for {count} messages"
        self.outlets.faults.note(BLOCKED_LOOP, text)
        self.degrade(BLOCKED_LOOP.code, text)

    def _forward(self, outlet: str, messages: Messages, receipts: Receipts) -> None:
        self.counters.results += len(messages)
        targets = self.targets[outlet]
        if len(targets) != 1:
            if not targets:
                for receipt in receipts:
                    receipt.drop()
                return
            for receipt in receipts:
                receipt.fork(len(targets) - 1)
        for target in targets:
            target(messages, receipts)

    def _sort_out(self, messages: Messages, receipts: Receipts, results: list[Any]) -> None:
        leaving: dict[str, tuple[list[Message], list[Receipt]]] = {}
        for message, receipt, result in zip(messages, receipts, results, strict=True):
            if result is None:
                receipt.drop()
                continue
            if result is _ENDED:
                continue
            if result.__class__ is dict and len(result) == 1:  # what a switch returns
                [(outlet, descendant)] = result.items()
                if descendant is message and outlet in self.targets:
                    if outlet not in leaving:
                        leaving[outlet] = ([], [])
                    leaving[outlet][0].append(message)
                    leaving[outlet][1].append(receipt)
                    continue
            try:
                pairs = self._pairs(result)
            except (TypeError, ValueError) as error:
                self._failed(message, receipt, error)
                continue
            if not pairs:
                receipt.drop()
                continue
            if len(pairs) > 1:
                receipt.fork(len(pairs) - 1)
            for outlet, descendant in pairs:
                if outlet not in leaving:
                    leaving[outlet] = ([], [])
                group = leaving[outlet]
                group[0].append(descend(descendant, message))
                group[1].append(receipt)
        for outlet, group in leaving.items():
            self._forward(outlet, *group)

    def _pairs(self, result: object) -> list[tuple[str, Message]]:
        pairs = by_outlet(result)
        for outlet, _ in pairs:
            if outlet not in self.targets:
                raise ValueError(unknown_outlet(outlet, self.targets))
        return pairs


class Segment:
    """The task of a tree of stages."""

    is_end = False

    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self.inbox = inbox
        self.stages: list[Stage] = []  # the first is the head
        self.outgoing: list[Outgoing] = []
        self.behind = False
        self._errors: list[Outlets] = []  # those whose error branch is wired
        self._clock = clock
        self._chunk = 16  # messages that are carried through at once

    async def run(self) -> None:
        """Run for ever; only the end of the flow cancels it."""
        clock = self._clock
        self._errors = [stage.outlets for stage in self.stages if stage.outlets.error]
        while True:
            _, items = await self.inbox.take(self._chunk)
            self._carry_through(items)
            if self.behind:
                await self.hand_over()
            if clock.now() - clock.pulse > SLICE:
                await clock.give_way()

    def carry(self, items: Sequence[Item]) -> int:
        """Carry messages through in the task of their sender, while this one has nothing to do.

        When they come one by one, a change of task costs more than all transforms together. 0 if
        nothing was done because the way out is not free, or they are too many; else all of them,
        and the sender has to wait for :meth:`hand_over`, as this task would.
        """
        if self.behind or len(items) > self._chunk:
            return 0
        for out in self.outgoing:
            if not out.wire.roomy:
                return 0
        self._carry_through(items)
        return len(items)

    def _carry_through(self, items: Sequence[Item]) -> None:
        clock = self._clock
        started = clock.now()
        messages, receipts = zip(*items, strict=True)
        self.stages[0].run(messages, receipts)
        ended = clock.now()
        moment = ended + clock.epoch
        for stage in self.stages:
            stage.counters.last = moment
        # As many messages as two milliseconds allow, growing carefully.
        per_message = max(1, (ended - started) // len(items))
        self._chunk = max(1, min(CHUNK, 2 * self._chunk, SLICE // per_message))
        self.behind = self._is_overfull()
        for out in self.outgoing:
            if out.items and not out.pass_on():
                self.behind = True

    def _is_overfull(self) -> bool:
        return bool(self._errors) and any(outlets.overfull for outlets in self._errors)

    async def hand_over(self) -> None:
        """Put what was computed on the wires that leave this segment, waiting for room."""
        outgoing = iter(self.outgoing)
        try:
            for out in outgoing:
                if out.items:
                    await out.flush()
        except BaseException:
            # A sender whose node was cancelled meanwhile: nobody would come back for the others.
            for out in outgoing:
                out.force()
            raise
        finally:
            self.behind = self._is_overfull()
        for outlets in self._errors:
            await outlets.wait_not_overfull()
        self.behind = False
