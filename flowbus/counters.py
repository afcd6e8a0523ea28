"""What a node counts beside its status."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Counters of one node; never reset.

    ``results`` are the messages sent that descend from one taken; new ones are counted by the
    ledger. ``last`` is when the node last took one, ns since the Unix epoch, 0 before the first.
    """

    __slots__ = ("busy", "faults", "last", "rejected", "restarts", "results", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.results = 0
        self.rejected = 0
        self.restarts = 0
        self.last = 0
        self.busy = 0  # ns that a transform has computed
        self.faults: Counter[str] = Counter()
