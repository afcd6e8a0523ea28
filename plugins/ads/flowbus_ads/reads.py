"""Reads of one tick joined into sum reads.

Every read of a client goes through here: what the tasks of one tick ask for leaves as one sum
request (0xF080) of at most 500 items, each with a result of its own. A target that does not know
the sum commands gets single requests from then on. Few say so by the right code: where a sum as a
whole is refused by any code, its first read goes alone, and what comes of that tells which it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from flowbus import Fault, Lost
from flowbus_ads import faults
from flowbus_ads.errors import AdsError, Refusal
from flowbus_ads.link import AmsLink
from flowbus_ads.protocol import commands, sums
from flowbus_ads.protocol.constants import UNSUPPORTED, Command, Group
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.sums import ReadItem

Answer = bytes | Refusal


class _Gather:
    """A task that waits for the answers to several reads, or for the loss of the peer."""

    __slots__ = ("answers", "left", "lost", "task")

    def __init__(self, count: int) -> None:
        self.answers: list[Answer] = [b""] * count
        self.left = count
        self.lost: Lost | None = None
        self.task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def put(self, index: int, answer: Answer) -> None:
        self.answers[index] = answer
        self.left -= 1
        if not self.left:
            self.wake()

    def wake(self) -> None:
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None

    def fail(self, fault: Fault, text: str) -> None:
        if self.task is not None:
            self.lost = Lost(fault, text)
            self.wake()

    def abort(self, _: Any) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


_Item = tuple[ReadItem, _Gather, int]


class _Single:
    """Waits for the answer to one Read."""

    __slots__ = ("_item", "deadline")

    def __init__(self, item: _Item, deadline: float) -> None:
        self._item, self.deadline = item, deadline

    def answer(self, error: int, data: bytes) -> None:
        _, gather, index = self._item
        if error:
            gather.put(index, Refusal(error, "router"))
            return
        try:
            result, value = commands.parse_read_response(data)
        except ProtocolError as reason:
            gather.fail(faults.BAD_ANSWER, str(reason))
        else:
            gather.put(index, Refusal(result) if result else value)

    def fail(self, fault: Fault, text: str) -> None:
        self._item[1].fail(fault, text)


class _Sum:
    """Waits for the answer to one sum read."""

    __slots__ = ("_items", "_reader", "deadline")

    def __init__(self, reader: ReadBatcher, items: Sequence[_Item], deadline: float) -> None:
        self._reader, self._items, self.deadline = reader, items, deadline

    def answer(self, error: int, data: bytes) -> None:
        try:
            number, answer = (error, b"") if error else commands.parse_read_response(data)
            if number:
                self._refused(Refusal(number, "router" if error else "device"))
                return
            results = sums.parse_sum_read_response(answer, [item[0] for item in self._items])
        except ProtocolError as reason:
            self.fail(faults.BAD_ANSWER, str(reason))
            return
        for (number, value), (_, gather, index) in zip(results, self._items, strict=True):
            gather.answers[index] = Refusal(number) if number else value
            gather.left -= 1
            if not gather.left:
                gather.wake()

    def _refused(self, refusal: Refusal) -> None:
        if refusal.number in UNSUPPORTED:
            self._reader.send_single(self._items)
        elif refusal.layer == "device":
            self._reader.probe(self._items, refusal)
        else:
            _put_all(self._items, refusal)

    def fail(self, fault: Fault, text: str) -> None:
        _fail_all(self._items, fault, text)


class _Probe:
    """Waits for the first of several reads, whose sum was refused: its answer tells what was refused."""

    __slots__ = ("_items", "_reader", "_refusal", "deadline")

    def __init__(
        self, reader: ReadBatcher, items: Sequence[_Item], refusal: Refusal, deadline: float
    ) -> None:
        self._reader, self._items, self._refusal, self.deadline = reader, items, refusal, deadline

    def answer(self, error: int, data: bytes) -> None:
        try:
            number = error or commands.parse_read_response(data)[0]
        except ProtocolError as reason:
            self.fail(faults.BAD_ANSWER, str(reason))
            return
        if is_same(Refusal(number), self._refusal):
            _put_all(self._items, self._refusal)
            return
        _Single(self._items[0], self.deadline).answer(error, data)
        self._reader.send_single(self._items[1:])

    def fail(self, fault: Fault, text: str) -> None:
        _fail_all(self._items, fault, text)


class ReadBatcher:
    """Joins the reads of one client. ``has_sums`` is False once the target has refused sum commands."""

    def __init__(self, link: AmsLink, target: bytes, source: bytes, timeout: float) -> None:
        self.has_sums = True
        self._link, self._target, self._source, self._timeout = link, target, source, timeout
        self._queue: list[_Item] = []

    async def read(self, items: Sequence[ReadItem]) -> list[Answer]:
        """Return the bytes or the refusal of each (group, offset, length). Raises Lost."""
        if not items:
            return []
        gather = _Gather(len(items))
        if not self._queue:
            self._link.batch(self._flush)
        self._queue += [(item, gather, index) for index, item in enumerate(items)]
        await trio.lowlevel.wait_task_rescheduled(gather.abort)
        if gather.lost is not None:
            raise gather.lost
        return gather.answers

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        self.send([item for item in queue if item[1].task is not None])

    def send(self, items: Sequence[_Item]) -> None:
        """Post the requests for ``items``."""
        try:
            if not self.has_sums:
                for item in items:
                    self._post([item])
                return
            for chunk in sums.chunks(items, _length):
                self._post(chunk)
        except Lost as lost:
            _fail_all(items, lost.fault, lost.text)

    def send_single(self, items: Sequence[_Item]) -> None:
        """Post the requests for ``items`` one by one, and those of later reads too."""
        self.has_sums = False
        self.send(items)

    def probe(self, items: Sequence[_Item], refusal: Refusal) -> None:
        """Post the first of ``items``, whose sum was refused, by itself."""
        deadline = trio.current_time() + self._timeout
        data = commands.read_request(*items[0][0])
        probe = _Probe(self, items, refusal, deadline)
        try:
            self._link.post(self._target, self._source, Command.READ, data, probe)
        except Lost as lost:
            probe.fail(lost.fault, lost.text)

    def _post(self, chunk: Sequence[_Item]) -> None:
        deadline = trio.current_time() + self._timeout
        if len(chunk) == 1:
            data = commands.read_request(*chunk[0][0])
            single = _Single(chunk[0], deadline)
            self._link.post(self._target, self._source, Command.READ, data, single)
            return
        reads = [item[0] for item in chunk]
        data = commands.read_write_request(
            Group.SUM_READ, len(reads), sums.sum_read_length(reads), sums.sum_read_request(reads)
        )
        waiter = _Sum(self, chunk, deadline)
        self._link.post(self._target, self._source, Command.READ_WRITE, data, waiter)


def is_same(answer: bytes | Refusal, refused: Refusal | AdsError) -> bool:
    """Tell whether a request by itself is refused as the sum was, so that it is not the sum that is refused."""
    return isinstance(answer, Refusal) and answer.number == refused.number


def _put_all(items: Sequence[_Item], refusal: Refusal) -> None:
    for _, gather, index in items:
        gather.put(index, refusal)


def _fail_all(items: Sequence[_Item], fault: Fault, text: str) -> None:
    for _, gather, _ in items:
        gather.fail(fault, text)


def _length(item: _Item) -> int:
    return item[0][2] + 4
