"""The keep-alive of a connection: when to ping, and when to give up (RFC 6455, section 5.5.2)."""

from __future__ import annotations

import math
from typing import Any, Literal

Step = Literal["wait", "ping", "lost"]


class KeepAlive:
    """Says what to do about a silent peer. Times are seconds of one clock; 0 means never.

    Only what is received counts, not what is sent. A silent peer is pinged once an ``interval``,
    and is lost when nothing has come for ``timeout`` behind the first of these pings. While nobody
    reads, because the flow behind is full, its silence says nothing, and the time begins anew.
    """

    def __init__(self, interval: float, timeout: float, now: float) -> None:
        self.timeout = timeout or math.inf
        self.on = bool(interval)
        self._interval = interval or math.inf
        self._heard = now
        self._pinged: float | None = None  # the first ping that nothing has come behind
        self._last_ping = -math.inf

    def heard(self, now: float) -> None:
        """Note that something came, or that reading was taken up again."""
        self._heard = now

    def ponged(self) -> None:
        """Note the answer to a ping."""
        self._pinged = None

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return what a status shows; ``silence`` is the time since something came."""
        if not self.on:
            return {"on": False}
        timeout = None if math.isinf(self.timeout) else self.timeout
        silence = round(now - self._heard, 3)
        return {"on": True, "interval": self._interval, "timeout": timeout, "silence": silence}

    @property
    def due(self) -> float:
        """When :meth:`step` has something to do, as far as is known now."""
        ping_due = max(self._heard, self._last_ping) + self._interval
        return ping_due if self._pinged is None else min(ping_due, self._pinged + self.timeout)

    def step(self, now: float, *, reading: bool) -> Step:
        """Return what to do now."""
        if now < self.due:
            return "wait"
        if not reading:
            self._heard, self._pinged = now, None
            return "wait"
        if self._pinged is not None and self._heard > self._pinged:
            self._pinged = None  # it is alive, though its Pong may be behind much data
        if self._pinged is not None and now >= self._pinged + self.timeout:
            return "lost"
        if now < self.due:
            return "wait"
        self._last_ping = now
        self._pinged = now if self._pinged is None else self._pinged
        return "ping"
