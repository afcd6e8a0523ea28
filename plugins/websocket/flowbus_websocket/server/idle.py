"""Clients that have nothing to say: how long that may go on."""

from __future__ import annotations

import math
from typing import Final

import trio

from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.codes import GOING_AWAY
from flowbus_websocket.server.client import Client

LOOKS: Final = 8  # within the time allowed; so exactly is it kept


class IdleClock:
    """Has clients go to and from which no message went for ``timeout`` seconds; 0 means never.

    Pings are no messages. While something is being sent a client is not idle: send_timeout is for
    that.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def check(self, client: Client) -> float:
        """Look at a client; return the time, of trio's clock, at which to look again."""
        if not self._timeout:
            return math.inf
        now, channel = trio.current_time(), client.channel
        count = channel.messages_in + channel.messages_out
        if count != client.idle_count or channel.posted:
            client.idle_count, client.idle_since = count, now
        end = client.idle_since + self._timeout
        if now < end:
            return min(end, now + self._timeout / LOOKS)
        text = f"no message for {self._timeout:g} s"
        client.dismiss(ConnectionEnded(named("idle_timed_out"), text, GOING_AWAY, "idle"))
        return math.inf
