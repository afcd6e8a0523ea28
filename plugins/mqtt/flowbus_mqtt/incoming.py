"""The messages that a session receives: which node gets each, and when the broker is told its end.

A message of QoS 1 is acknowledged when every node that got it says that the flow has ended it. One
that no node subscribes to waits a little, because a session that the broker kept starts to deliver
before the nodes have come. Later such messages are acknowledged and reported at once: they come from
a subscription that is left over, and must not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from flowbus import Lost
from flowbus_mqtt.client import Client
from flowbus_mqtt.protocol.packets import Publish
from flowbus_mqtt.protocol.topics import matches, split_share

FULL_COUNT: Final = 512
FULL_BYTES: Final = 256 * 1024
"""Messages and payload bytes that wait for nodes; from there on reading pauses."""

PATIENCE: Final = 10.0
"""Seconds, from the first message that no node wants, in which a node may come for such messages."""

_CACHED_ROUTES: Final = 4096


class Subscription:
    """The messages of one node."""

    def __init__(self, incoming: Incoming, filters: Sequence[str]) -> None:
        self.filters = tuple(split_share(item)[1] for item in filters)
        self._incoming = incoming
        self._waiting: list[Publish] = []
        self._failure: Lost | None = None
        self._taker = trio.lowlevel.ParkingLot()

    async def take(self) -> list[Publish]:
        """Return what waits, at least one message; each has to be given to :meth:`end`.

        Raises what :meth:`fail` was given.
        """
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            await self._taker.park()
        taken, self._waiting = self._waiting, []
        self._incoming.took(taken)
        return taken

    def fail(self, failure: Lost) -> None:
        """Let :meth:`take` raise once nothing waits any more."""
        self._failure = failure
        self._taker.unpark()

    def put(self, publish: Publish) -> None:
        """Let the node have a message."""
        self._waiting.append(publish)
        if len(self._waiting) == 1:
            self._taker.unpark()

    def end(self, publish: Publish, reason: int = 0) -> None:
        """Note that this node is done with a message; a ``reason`` of 0x80 and above refuses it."""
        if publish.qos:
            self._incoming.end(publish, reason)

    def close(self) -> None:
        """Go: what the node did not take waits for it to come back."""
        waiting, self._waiting = self._waiting, []
        self._incoming.leave(self, waiting)


class Incoming:
    """The receiving side of one session."""

    def __init__(self, client: Client, unwanted: Callable[[Publish], None]) -> None:
        """``unwanted`` is told of each message that no node came for."""
        self._client = client
        self._unwanted = unwanted
        self._subscriptions: list[Subscription] = []
        self._routes: dict[str, list[Subscription]] = {}
        self._open: dict[int, int] = {}  # packet identifier -> nodes that still have the message
        self._worst: dict[int, int] = {}
        self._orphans: list[Publish] = []
        self._patient_until: float | None = None
        self._count = 0
        self._bytes = 0
        self._room = trio.lowlevel.ParkingLot()

    # ---- what the client calls

    def receive(self, publish: Publish) -> None:
        """Hand a message to every node whose filters match it."""
        if publish.qos and publish.packet_id in self._open:
            return  # sent again while the first copy is in the flow
        routes = self._routes.get(publish.topic)
        if routes is None:
            routes = self._route(publish.topic)
        if publish.qos:
            self._open[publish.packet_id] = len(routes)
        self._count += len(routes)
        self._bytes += len(publish.payload) * len(routes)
        if not routes:
            self._adopt(publish)
        for subscription in routes:
            subscription.put(publish)

    def is_full(self) -> bool:
        """Tell whether the nodes are behind, so that reading must pause."""
        return self._count >= FULL_COUNT or self._bytes >= FULL_BYTES

    async def wait_room(self) -> None:
        """Wait until the nodes have taken enough."""
        while self.is_full():
            await self._room.park()

    def tick(self, now: float) -> None:
        """Give up on messages that no node came for."""
        if self._orphans and not self._is_patient(now):
            orphans, self._orphans = self._orphans, []
            self.took(orphans)
            for publish in orphans:
                self._give_up(publish)

    def _is_patient(self, now: float) -> bool:
        if self._patient_until is None:
            self._patient_until = now + PATIENCE
        return now < self._patient_until

    def _adopt(self, publish: Publish) -> None:
        if not self._is_patient(trio.current_time()):
            self._give_up(publish)
            return
        self._orphans.append(publish)
        self._count += 1
        self._bytes += len(publish.payload)

    def _give_up(self, publish: Publish) -> None:
        if self._open.pop(publish.packet_id, None) is not None:
            self._client.acknowledge(publish)
        self._unwanted(publish)

    # ---- what subscriptions call

    def join(self, filters: Sequence[str]) -> Subscription:
        """Add a node; it gets what waited for it at once."""
        subscription = Subscription(self, filters)
        self._subscriptions.append(subscription)
        self._routes.clear()
        orphans, self._orphans = self._orphans, []
        self.took(orphans)
        for publish in orphans:
            self._open.pop(publish.packet_id, None)
            self.receive(publish)
        return subscription

    def leave(self, subscription: Subscription, waiting: list[Publish]) -> None:
        """Remove a node; what it did not take waits for it to come back."""
        self._subscriptions.remove(subscription)
        self._routes.clear()
        self._patient_until = None
        self.took(waiting)
        for publish in waiting:
            if self._route(publish.topic):
                self.end(publish, 0)  # the other nodes decide
            else:
                self._adopt(publish)

    def took(self, publishes: list[Publish]) -> None:
        """Make room."""
        self._count -= len(publishes)
        self._bytes -= sum([len(publish.payload) for publish in publishes])
        if self._room and not self.is_full():
            self._room.unpark_all()

    def end(self, publish: Publish, reason: int) -> None:
        """One node is done with a message; the last one ends it."""
        packet_id = publish.packet_id
        left = self._open.get(packet_id)
        if left is None:
            return
        if left > 1:
            self._open[packet_id] = left - 1
            self._worst[packet_id] = max(reason, self._worst.get(packet_id, 0))
            return
        del self._open[packet_id]
        if self._worst:
            reason = max(reason, self._worst.pop(packet_id, 0))
        self._client.acknowledge(publish, reason)

    @property
    def unended(self) -> int:
        """Messages of QoS 1 that the flow has not ended."""
        return len(self._open)

    def _route(self, topic: str) -> list[Subscription]:
        if len(self._routes) >= _CACHED_ROUTES:
            self._routes.clear()
        routes = self._routes[topic] = [
            subscription
            for subscription in self._subscriptions
            if any(matches(item, topic) for item in subscription.filters)
        ]
        return routes
