"""What a run's raw observations come to: percentiles, and what became of every message."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that ``percent`` % do not exceed.

    ValueError without a value: an empty run has no latency, and 0 would look like a good one.
    """
    if not values:
        raise ValueError("no values, hence no percentile")
    if not 0 < percent <= 100:
        raise ValueError(f"a percentile lies above 0 and up to 100, not at {percent}")
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def median(values: Iterable[float]) -> float:
    """Return the median; of an even count the mean of the middle two."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, hence no median")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Account:
    """What became of the messages 0 to ``sent`` - 1."""

    sent: int
    received: int
    unique: int
    duplicate: int
    lost: int
    out_of_order: int

    @property
    def wrong(self) -> int:
        """Messages that did not arrive exactly once and in order."""
        return self.lost + self.duplicate + self.out_of_order


def account(sequence: Iterable[int], sent: int) -> Account:
    """Account for the sequence numbers in the order of their arrival, of messages 0 to ``sent`` - 1.

    Out of order is a first arrival after a later number; a second arrival is only a duplicate.
    ValueError for a number that was never sent: then the measurement itself is wrong.
    """
    seen = bytearray(sent)
    received = unique = out_of_order = 0
    highest = -1
    for number in sequence:
        received += 1
        if not 0 <= number < sent:
            raise ValueError(f"message {number} arrived, but only 0 to {sent - 1} were sent")
        if seen[number]:
            continue
        seen[number] = 1
        unique += 1
        if number < highest:
            out_of_order += 1
        else:
            highest = number
    return Account(sent, received, unique, received - unique, sent - unique, out_of_order)
