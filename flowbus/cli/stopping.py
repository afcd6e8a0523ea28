"""SIGINT and SIGTERM: the first asks the flow to stop, the second ends it, the third kills it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import trio

GRACE = 10.0  # s that tasks have to end after they were cancelled; thousands of connections take some of them
OVERDUE = GRACE + 1.0  # s after which nothing in the loop has noticed: the loop itself stands still
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Handles the signals of a run.

    ``drain`` is how long in seconds the flow may take to stop. A timer watches over that: its
    signal is also heard when a node holds up the whole loop, which nothing in the loop could notice.
    """

    def __init__(self, drain: float) -> None:
        self.signal: int | None = None  #: the second signal, once it came
        self._drain = drain
        self._count = 0
        self._asked = False
        self._old: dict[int, Any] = {}
        self._token: trio.lowlevel.TrioToken | None = None
        self._why = ""
        self._stop: Callable[[str], None] = lambda why: None
        self._cancel: Callable[[], None] = lambda: None
        self._kill: Callable[[int | None, FrameType | None], None] = lambda number, frame: None

    def __enter__(self) -> Stopping:
        self._old = {number: signal.signal(number, self._handle) for number in SIGNALS}
        self._old[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._overdue)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.settle()
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def attach(
        self,
        stop: Callable[[str], None],
        cancel: Callable[[], None],
        kill: Callable[[int | None, FrameType | None], None],
    ) -> None:
        """Say from inside the loop what to call.

        ``stop(why)`` asks the flow to stop, ``cancel`` ends it. ``kill(signal, frame)`` ends the process
        from inside a signal handler: with the number of a third signal, or with None where the flow
        is overdue and ``frame`` is what runs.
        """
        self._token = trio.lowlevel.current_trio_token()
        self._stop, self._cancel, self._kill = stop, cancel, kill
        if self._asked:  # a signal came before there was a loop
            stop(self._why)
        if self._count > 1:
            cancel()

    def ask(self, why: str) -> None:
        """Stop the flow as the first signal does; again, it does nothing."""
        if not self._asked:
            self._asked, self._why = True, why
            signal.setitimer(signal.ITIMER_REAL, self._drain + OVERDUE)
            self._soon(lambda: self._stop(why))

    def settle(self) -> None:
        """Stop the timer: the flow has ended."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            self.ask(signal.Signals(number).name)
        elif self._count == 2:
            self.signal = number
            signal.setitimer(signal.ITIMER_REAL, OVERDUE)
            self._soon(self._cancel)
        else:
            self._kill(number, frame)

    def _overdue(self, number: int, frame: FrameType | None) -> None:
        self._kill(None, frame)

    def _soon(self, call: Callable[[], None]) -> None:
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(call)
