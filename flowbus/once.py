"""The mark around an await whose outcome cannot be known if it is interrupted."""

from __future__ import annotations

from types import TracebackType

import trio

from flowbus.clock import Clock
from flowbus.custody import Delivery
from flowbus.faults import UNCONFIRMED
from flowbus.supervisor import Kind, judge


class LateForOnce(Exception):
    """The message outlived its time to live before it came to be written."""


class Once:
    """The context manager that :meth:`NodeIO.once` returns."""

    __slots__ = ("_clock", "_delivery")

    def __init__(self, delivery: Delivery, clock: Clock | None) -> None:
        self._delivery = delivery
        self._clock = clock

    def __enter__(self) -> None:
        if self._clock is not None and self._delivery.is_late(self._clock.now()):
            raise LateForOnce

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if error is None or not self._delivery.open:
            return
        if isinstance(error, trio.Cancelled):
            self._delivery.reject(UNCONFIRMED, "cancelled before the answer came")
            return
        verdict = judge(error)
        # A refusal is an answer: the peer did not do it, whether or not it may do so later.
        if verdict.kind is not Kind.REFUSED and not verdict.fault.temporary:
            self._delivery.reject(UNCONFIRMED, f"interrupted before the answer: {verdict.fault.code} {verdict.text}")
