"""The runtime's clock: monotonic ns for ages and slices, and from it the wall time of a message."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

SECOND = 1_000_000_000
SLICE = 2_000_000  # ns that a task may go on before the scheduler is let in


class Clock:
    """``now()`` is monotonic ns; ``epoch`` added to it is ns since the Unix epoch.

    One reading serves both an emitted message's age and its time. Under a mocked trio clock the
    ages follow that clock, so tests of time to live never sleep.
    """

    __slots__ = ("epoch", "now", "pulse")

    def __init__(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        self.now = now
        self.pulse = now()  # when the scheduler was last known to have had its turn
        self.epoch = 0
        self.follow_wall_clock()

    @classmethod
    def of_trio(cls) -> Clock:
        """Return the clock that goes with the running trio loop."""
        trio_clock = trio.lowlevel.current_clock()
        if type(trio_clock).__name__ == "SystemClock":
            return cls()
        return cls(lambda: int(trio_clock.current_time() * SECOND))

    async def give_way(self) -> int:
        """Let the scheduler in; return the time after it."""
        await trio.lowlevel.checkpoint()
        self.pulse = now = self.now()
        return now

    def follow_wall_clock(self) -> None:
        """Take over a step of the wall clock (NTP, an operator); ages are not touched by it."""
        self.epoch = time.time_ns() - self.now()
