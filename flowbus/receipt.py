"""A receipt follows a message and its descendants to the end and tells its source how it ended.

It is a reference count, not a log, and travels beside the message. The rules:

- a receipt starts with one open branch; fan-out and splits add branches, each end closes one;
- of several branches the worst end decides, when the last one closes:
  rejected > expired > confirmed > dropped;
- it keeps text, never exceptions: a stored traceback keeps every frame's locals alive;
- nobody lets go of a receipt whose branches are open: what a node took and forgot is found by
  its custody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from flowbus.faults import EXPIRED

if TYPE_CHECKING:
    from flowbus.ledger import Line

log = logging.getLogger("flowbus.receipt")


class Outcome(IntEnum):
    """How a message ended; the greater value wins where branches differ."""

    DROPPED = 0
    CONFIRMED = 1
    EXPIRED = 2
    REJECTED = 3


# Plain numbers for the paths that every message takes: an enum member costs a lookup.
CONFIRMED, _EXPIRED, _REJECTED = 1, 2, 3


class End(msgspec.Struct, frozen=True, gc=False):
    """How a message ended: the outcome, and for a bad one the fault's code and a text."""

    outcome: Outcome
    code: str = ""
    text: str = ""


OnEnd = Callable[[End], None]


class Receipt(msgspec.Struct, gc=False, eq=False):
    """The count of open branches of one emitted message. Times are ns of the runtime's clock."""

    line: Line | None
    born: int
    on_end: OnEnd | None = None
    open: int = 1
    worst: int = 0
    code: str = ""
    text: str = ""

    handled: ClassVar[bool] = False  # true on the branch behind an error outlet

    def fork(self, branches: int) -> None:
        """Add ``branches`` open branches (fan-out to k adds k - 1)."""
        self.open += branches

    def confirm(self) -> None:
        """End one branch: the sink did its work."""
        if self.worst < CONFIRMED:
            self.worst = CONFIRMED
        left = self.open = self.open - 1
        if left:
            return
        line = self.line
        if line is None or self.on_end is not None:
            self._settle()
        else:  # the way that nearly all messages end, without another call
            line.ended[self.worst] += 1

    def drop(self) -> None:
        """End one branch: a filter or a wire's policy said so."""
        self.open -= 1
        if self.open == 0:
            self._settle()

    def reject(self, code: str, text: str) -> None:
        """End one branch: refused, or failed for good."""
        self._end(_REJECTED, code, text)

    def expire(self, text: str) -> None:
        """End one branch: too old to be delivered."""
        self._end(_EXPIRED, EXPIRED.code, text)

    def _end(self, outcome: int, code: str, text: str) -> None:
        if outcome > self.worst:
            self.worst, self.code, self.text = outcome, code, text
        self.open -= 1
        if self.open == 0:
            self._settle()

    def _settle(self) -> None:
        line = self.line
        if line is not None:
            line.ended[self.worst] += 1
        if self.on_end is not None:
            self._tell(self.on_end)

    def _tell(self, on_end: OnEnd) -> None:
        self.on_end = None  # a callback often holds its receipt's node: no cycles stay behind
        try:
            on_end(End(Outcome(self.worst), self.code, self.text))
        except Exception:
            # It runs inside whatever task ended the message: its bug must not become that node's.
            log.exception("an on_end callback failed; the message has ended all the same")


class JoinedReceipt(Receipt):
    """Follows a message made of several: its end is the end of all its parents."""

    parents: tuple[Receipt, ...] = ()

    def _settle(self) -> None:
        for parent in self.parents:
            _end_as(parent, self.worst, self.code, self.text)
        self.parents = ()


class HandledReceipt(Receipt):
    """Follows a rejected message along its error branch: whatever happens there, it is rejected."""

    parent: Receipt | None = None
    because: str = ""
    said: str = ""

    handled: ClassVar[bool] = True

    def _settle(self) -> None:
        if self.parent is not None:
            self.parent.reject(self.because, self.said)
            self.parent = None


class UncountedReceipt(Receipt):
    """For status messages, which stand outside the ledger: never expires, ends without effect."""

    handled: ClassVar[bool] = True  # a status that is refused must not cause an error message

    def fork(self, branches: int) -> None:
        """Do nothing."""

    def confirm(self) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing."""

    def _end(self, outcome: int, code: str, text: str) -> None:
        """Do nothing."""


UNCOUNTED = UncountedReceipt(None, 1 << 62)


class HandledJoin(JoinedReceipt):
    """A join in which at least one parent is on its error branch."""

    handled: ClassVar[bool] = True


def join(parents: list[Receipt]) -> Receipt:
    """Return the receipt for a message that descends from all of ``parents`` (at least one)."""
    if len(parents) == 1:
        return parents[0]
    kind = HandledJoin if any(parent.handled for parent in parents) else JoinedReceipt
    return kind(None, min(parent.born for parent in parents), parents=tuple(parents))


def on_error_branch(receipt: Receipt, code: str, text: str) -> HandledReceipt:
    """Return the receipt for the copy of a rejected message that leaves by an error outlet."""
    return HandledReceipt(None, receipt.born, parent=receipt, because=code, said=text)


def _end_as(receipt: Receipt, outcome: int, code: str, text: str) -> None:
    if outcome == CONFIRMED:
        receipt.confirm()
    elif outcome == 0:
        receipt.drop()
    else:
        receipt._end(outcome, code, text)
