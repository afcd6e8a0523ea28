"""Sessions, subscriptions and retained messages of the broker; it does no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from flowbus_mqtt.broker.session import Link, Session, encode_qos0
from flowbus_mqtt.protocol.packets import Publish
from flowbus_mqtt.protocol.server import SUBACK_FAILURE, Connect, Will
from flowbus_mqtt.protocol.topics import SHARE, matches
from flowbus_mqtt.protocol.topictree import TopicTree

_CACHED_ROUTES: Final = 4096
_MOST_SUBSCRIPTIONS: Final = 1000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much the broker keeps."""

    max_queued: int = 1000
    max_retained: int = 10_000
    max_absent: int = 1000


class Routing:
    """Knows every session and hands each message to those who want it."""

    def __init__(self, bounds: Bounds, dropped: Callable[[Session], None]) -> None:
        """Have ``dropped`` told when a message does not fit a session."""
        self._bounds = bounds
        self._dropped = dropped
        self._sessions: dict[str, Session] = {}
        self._tree: TopicTree[Session, int] = TopicTree()
        self._routes: dict[str, list[tuple[Session, int]]] = {}
        self._retained: dict[str, Publish] = {}
        self.published = 0
        self.retained_refused = 0

    # ---- sessions

    def connect(self, connect: Connect, link: Link) -> tuple[Session, bool]:
        """Return the session of a client and whether it was there; an older connection is closed."""
        session = self._sessions.get(connect.client_id)
        if session is not None:
            if session.link is not None:
                session.link.close()
                session.close()
            if connect.clean_session or session.clean:
                self._forget(session)
                session = None
        present = session is not None
        if session is None:
            session = Session(connect.client_id, connect.clean_session, self._bounds.max_queued)
        else:
            del self._sessions[session.client_id]  # to the end: the order is that of their leaving
        self._sessions[session.client_id] = session
        return session, present

    def disconnect(self, session: Session, link: Link, will: Will | None) -> None:
        """End the connection ``link`` of a session and publish its ``will``, if it has one."""
        if session.link is link:  # else another connection of the client has taken over
            session.close()
            if session.clean:
                self._forget(session)
            self._limit_absent()
        if will is not None:
            self.publish(Publish(will.topic, will.payload, min(will.qos, 1), 0, will.retain))

    def _forget(self, session: Session) -> None:
        for topic_filter in session.subscriptions:
            self._tree.remove(topic_filter, session)
        self._routes.clear()
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]

    def _limit_absent(self) -> None:
        absent = [session for session in self._sessions.values() if session.link is None]
        for session in absent[: max(0, len(absent) - self._bounds.max_absent)]:
            self._forget(session)

    # ---- subscriptions

    def subscribe(self, session: Session, filters: list[tuple[str | None, int]]) -> list[int]:
        """Subscribe and return the code of each filter: the QoS granted (1 at most) or 0x80."""
        self._routes.clear()
        return [self._subscribe(session, topic_filter, min(qos, 1)) for topic_filter, qos in filters]

    def _subscribe(self, session: Session, topic_filter: str | None, qos: int) -> int:
        full = len(session.subscriptions) >= _MOST_SUBSCRIPTIONS
        if topic_filter is None or topic_filter.startswith(SHARE):
            return SUBACK_FAILURE
        if full and topic_filter not in session.subscriptions:
            return SUBACK_FAILURE
        session.subscriptions[topic_filter] = qos
        self._tree.put(topic_filter, session, qos)
        return qos

    def unsubscribe(self, session: Session, filters: list[str]) -> None:
        """Undo :meth:`subscribe`."""
        self._routes.clear()
        for topic_filter in filters:
            if session.subscriptions.pop(topic_filter, None) is not None:
                self._tree.remove(topic_filter, session)

    def send_retained(self, session: Session, filters: list[tuple[str | None, int]]) -> None:
        """Send a client what is retained under filters that it has just subscribed to."""
        for topic_filter, _ in filters:
            if topic_filter is None or topic_filter not in session.subscriptions:
                continue
            granted = session.subscriptions[topic_filter]
            found = [
                Publish(kept.topic, kept.payload, min(kept.qos, granted), 0, True)
                for kept in self._retained_under(topic_filter)
            ]
            if found:
                session.deliver_retained(found)

    def _retained_under(self, topic_filter: str) -> list[Publish]:
        if "+" not in topic_filter and "#" not in topic_filter:
            kept = self._retained.get(topic_filter)
            return [] if kept is None else [kept]
        return [kept for topic, kept in self._retained.items() if matches(topic_filter, topic)]

    # ---- messages

    def publish(self, publish: Publish) -> None:
        """Retain a message if it says so, and deliver it to every subscriber once."""
        self.published += 1
        if publish.retain:
            self._retain(publish)
        routes = self._routes.get(publish.topic)
        if routes is None:
            routes = self._route(publish.topic)
        if not routes:
            return
        plain = Publish(publish.topic, publish.payload)
        packet = encode_qos0(plain)
        sure = Publish(publish.topic, publish.payload, 1) if publish.qos else plain
        for session, qos in routes:
            if not session.deliver(sure if qos else plain, None if qos else packet):
                self._dropped(session)

    def _route(self, topic: str) -> list[tuple[Session, int]]:
        if len(self._routes) >= _CACHED_ROUTES:
            self._routes.clear()
        best: dict[Session, int] = {}
        for session, qos in self._tree.match(topic):
            best[session] = max(qos, best.get(session, 0))
        routes = self._routes[topic] = list(best.items())
        return routes

    def _retain(self, publish: Publish) -> None:
        if not publish.payload:
            self._retained.pop(publish.topic, None)
        elif publish.topic in self._retained or len(self._retained) < self._bounds.max_retained:
            self._retained[publish.topic] = publish
        else:
            self.retained_refused += 1

    def details(self) -> dict[str, Any]:
        """Numbers for ``flowbus status --json``."""
        sessions = self._sessions.values()
        return {
            "clients": sum(session.link is not None for session in sessions),
            "sessions": len(sessions),
            "retained": len(self._retained),
            "retained_refused": self.retained_refused,
            "published": self.published,
            "queued": sum(session.queued for session in sessions),
            "dropped": sum(session.dropped for session in sessions),
        }
