"""Pings whose answer somebody waits for."""

from __future__ import annotations

import trio


class Pings:
    """The open ones in their order.

    A Pong carries the payload of its Ping, and stands for those before it too: a peer that is behind
    may answer the last one only (RFC 6455, section 5.5.3).
    """

    def __init__(self) -> None:
        self._open: list[tuple[bytes, trio.Event]] = []

    def expect(self, payload: bytes) -> trio.Event:
        """Note a Ping; the event is set once it is answered."""
        answered = trio.Event()
        self._open.append((payload, answered))
        return answered

    def forget(self, answered: trio.Event) -> None:
        """Nobody waits for this one any more."""
        self._open = [ping for ping in self._open if ping[1] is not answered]

    def pong(self, payload: bytes) -> None:
        """Note a Pong; one that answers no Ping of ours means nothing."""
        for index, (expected, _) in enumerate(self._open):
            if expected == payload:
                for _, answered in self._open[: index + 1]:
                    answered.set()
                del self._open[: index + 1]
                return
