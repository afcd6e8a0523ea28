"""What the broker keeps for one client, with or without a connection to it.

Everything is bounded: the window of unacknowledged messages, the queue behind it, and what waits to
be written. What does not fit is dropped and counted, so a slow client never holds up the others.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from flowbus_mqtt.protocol.encoder import PublishEncoder
from flowbus_mqtt.protocol.packets import Publish, Version

WINDOW: Final = 100
"""Messages of QoS 1 that a client may owe an acknowledgement for."""

BACKLOG: Final = 256 * 1024
"""Bytes that may wait for a client to read."""

_ENCODER: Final = PublishEncoder(Version.V311)


class Link(Protocol):
    """The connection of a client, as the broker sees it."""

    @property
    def backlog(self) -> int:
        """Bytes sent and not yet taken by the operating system."""

    def send(self, data: bytes) -> None:
        """Send soon; never waits."""

    def close(self) -> None:
        """Close, without waiting for what was sent."""


class Session:
    """The state of a client (MQTT 3.1.1, section 3.1.2.4)."""

    def __init__(self, client_id: str, clean: bool, max_queued: int) -> None:
        self.client_id = client_id
        self.clean = clean
        self.link: Link | None = None
        self.subscriptions: dict[str, int] = {}
        self.received: set[int] = set()
        """Identifiers of QoS 2 messages that were taken and not released yet."""
        self.dropped = 0
        self._max_queued = max_queued
        self._queue: deque[Publish] = deque()
        self._unacked: dict[int, Publish] = {}
        self._last_id = 0

    @property
    def queued(self) -> int:
        """Messages that wait for the client."""
        return len(self._queue) + len(self._unacked)

    def open(self, link: Link) -> None:
        """Send the client, now that it is there, what it did not acknowledge, then what waited."""
        self.link = link
        for packet_id, publish in self._unacked.items():
            link.send(_encode(publish, packet_id, dup=True))
        self.pump()

    def close(self) -> None:
        """Go on without the client."""
        self.link = None
        if self.clean:
            self._queue.clear()
            self._unacked.clear()
            self.received.clear()

    def deliver(self, publish: Publish, packet: bytes | None = None) -> bool:
        """Send or keep a message; ``packet`` is its encoded form if it has QoS 0. False: dropped."""
        link = self.link
        if not self._queue and link is not None and link.backlog < BACKLOG:
            if not publish.qos:
                link.send(packet or _encode(publish, 0))
                return True
            if len(self._unacked) < WINDOW:
                self._send(link, publish)
                return True
        if (link is None and not publish.qos) or len(self._queue) >= self._max_queued:
            self.dropped += 1
            return False
        self._queue.append(publish)
        return True

    def deliver_retained(self, publishes: list[Publish]) -> None:
        """Send retained messages; there may be more than the queue takes otherwise."""
        self._queue.extend(publishes)
        self.pump()

    def acknowledged(self, packet_id: int) -> None:
        """Forget a message of QoS 1 that the client has; an unknown identifier is ignored."""
        self._unacked.pop(packet_id, None)
        self.pump()

    def pump(self) -> None:
        """Send what waited, as far as window and backlog allow."""
        link, queue = self.link, self._queue
        while link is not None and queue and link.backlog < BACKLOG:
            if queue[0].qos and len(self._unacked) >= WINDOW:
                break
            publish = queue.popleft()
            if publish.qos:
                self._send(link, publish)
            else:
                link.send(_encode(publish, 0))

    def _send(self, link: Link, publish: Publish) -> None:
        packet_id = self._next_id()
        self._unacked[packet_id] = publish
        link.send(_encode(publish, packet_id))

    def _next_id(self) -> int:
        while True:  # the window is far smaller than the number of identifiers
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self._unacked:
                return self._last_id


def encode_qos0(publish: Publish) -> bytes:
    """Encode a message once for all who get it with QoS 0."""
    return _ENCODER.encode(publish.topic, publish.payload)


def _encode(publish: Publish, packet_id: int, dup: bool = False) -> bytes:
    return _ENCODER.encode(
        publish.topic, publish.payload, publish.qos, publish.retain, packet_id, dup
    )


