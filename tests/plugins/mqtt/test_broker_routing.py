"""The broker without I/O: sessions, subscriptions, retained messages and bounds."""

from __future__ import annotations

from typing import Any

import pytest
from flowbus_mqtt.broker.peer import Door, LeftError, Peer, RefusedError
from flowbus_mqtt.broker.routing import Bounds, Routing
from flowbus_mqtt.broker.session import BACKLOG, WINDOW, Session
from flowbus_mqtt.engine import Engine
from flowbus_mqtt.protocol.decoder import Decoder, Event
from flowbus_mqtt.protocol.encoder import encode_ack
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet, Puback, Publish, Version
from flowbus_mqtt.protocol.server import CONNACK_V5_UNSUPPORTED
from flowbus_mqtt.settings import LastWill, Settings
from hypothesis import given
from hypothesis import strategies as st

from flowbus import Secret


class World:
    """A broker and the clients that a test connects to it."""

    def __init__(self, users: dict[str, Secret] | None = None, **bounds: int) -> None:
        self.dropped: list[Session] = []
        self.routing = Routing(Bounds(**bounds), self.dropped.append)
        self.is_full = False
        self.door = Door(users, lambda client_id: self.is_full, lambda: "given")

    def client(self, client_id: str = "me", clean: bool = True, **more: Any) -> Client:
        client = Client(self, Settings(client_id=client_id, version=Version.V311, clean_start=clean, **more))
        client.say(client.engine.connect())
        return client


class Client:
    """A client at one end, and the broker's link to it at the other."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.engine = Engine(settings)
        self.peer = Peer(self, world.routing, world.door)
        self.backlog = 0
        self.closed = False
        self.sent: list[Event] = []
        self._server = Decoder(Version.V311)
        self._client = Decoder(Version.V311)

    def send(self, data: bytes) -> None:
        self.sent += self._client.feed(data)

    def close(self) -> None:
        self.closed = True

    def say(self, data: bytes) -> list[Event]:
        """Let the broker hear ``data``; return what it sends."""
        before = len(self.sent)
        for event in self._server.feed(data):
            publish = self.peer.handle(event)
            if publish is not None:
                self.peer.accepted(publish)
        return self.sent[before:]

    def subscribe(self, *filters: tuple[str, int]) -> list[Event]:
        self.sent.clear()
        return self.say(self.engine.subscribe(filters)[1])

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, retain: bool = False) -> list[Event]:
        return self.say(self.engine.publish(topic, payload, qos, retain))

    def got(self) -> list[tuple[str, bytes, int, bool]]:
        """Return and forget the messages that came."""
        publishes = [event for event in self.sent if isinstance(event, Publish)]
        self.sent.clear()
        return [(p.topic, p.payload, p.qos, p.retain) for p in publishes]


def test_connect_subscribe_publish() -> None:
    world = World()
    client = world.client()
    assert client.sent == [Packet(Kind.CONNACK, b"\0\0")]
    suback, = client.subscribe(("a/+", 1), ("b", 2), ("c", 0))
    assert isinstance(suback, Packet)
    assert suback.body[2:] == b"\x01\x01\x00", "QoS 2 is granted as 1"
    world.client("other").publish("a/b", b"1", 1)
    world.client("other").publish("c", b"2", 1)
    world.client("other").publish("d", b"3", 1)
    assert client.got() == [("a/b", b"1", 1, False), ("c", b"2", 0, False)]


@pytest.mark.parametrize(("qos", "answer"), [(0, []), (1, [Puback(1)]), (2, [Packet(Kind.PUBREC, b"\0\1")])])
def test_each_qos_is_answered(qos: int, answer: list[Event]) -> None:
    assert World().client().publish("a", qos=qos) == answer


def test_qos_2_is_delivered_once_however_often_it_is_sent() -> None:
    world = World()
    reader, writer = world.client("reader"), world.client("writer")
    reader.subscribe(("a", 1))
    packet = writer.engine.publish("a", b"x", 2)
    writer.say(packet)
    writer.say(packet)
    assert writer.say(encode_ack(Kind.PUBREL, 1)) == [Packet(Kind.PUBCOMP, b"\0\1")]
    assert len(reader.got()) == 1
    writer.say(packet)
    assert len(reader.got()) == 1, "after PUBREL the identifier is a new message"


def test_overlapping_filters_deliver_once_with_the_best_qos() -> None:
    world = World()
    client = world.client()
    client.subscribe(("a/#", 0), ("a/b", 1), ("+/+", 0))
    world.client("other").publish("a/b", qos=1)
    assert client.got() == [("a/b", b"x", 1, False)]


def test_unsubscribe() -> None:
    client = World().client()
    client.subscribe(("a", 0))
    body = (5).to_bytes(2, "big") + b"\0\1a"
    assert client.say(Packet(0xA2, body).encode()) == [Packet(Kind.UNSUBACK, b"\0\5")]
    client.publish("a")
    assert client.got() == []


def test_retained_messages() -> None:
    world = World()
    writer = world.client("writer")
    writer.publish("a/1", b"old", 1, True)
    writer.publish("a/1", b"new", 1, True)
    writer.publish("a/2", b"two", 0, True)
    writer.publish("a/3", b"gone", 0, True)
    writer.publish("a/3", b"", 0, True)
    reader = world.client("reader")
    reader.subscribe(("a/#", 1))
    assert reader.got() == [("a/1", b"new", 1, True), ("a/2", b"two", 0, True)]
    writer.publish("a/1", b"live", 0, True)
    assert reader.got() == [("a/1", b"live", 0, False)], "to those who are there it is a message like others"


def test_retained_messages_are_bounded() -> None:
    world = World(max_retained=2)
    writer = world.client()
    for number in range(4):
        writer.publish(f"a/{number}", b"x", 0, True)
    writer.publish("a/0", b"y", 0, True)
    details = world.routing.details()
    assert (details["retained"], details["retained_refused"]) == (2, 2)


def test_a_lasting_session_gets_what_it_missed_and_what_it_did_not_acknowledge() -> None:
    world = World()
    reader, writer = world.client("reader", clean=False), world.client("writer")
    reader.subscribe(("a", 1))
    writer.publish("a", b"unacked", 1)
    reader.peer.end()
    writer.publish("a", b"missed", 1)
    writer.publish("a", b"qos 0 is not kept", 0)
    again = world.client("reader", clean=False)
    assert again.sent[0] == Packet(Kind.CONNACK, b"\1\0")
    unacked, missed = again.sent[1:]
    assert isinstance(unacked, Publish)
    assert isinstance(missed, Publish)
    assert (unacked.payload, unacked.dup) == (b"unacked", True)
    assert (missed.payload, missed.dup) == (b"missed", False)


def test_a_clean_session_is_forgotten() -> None:
    world = World()
    world.client("reader").subscribe(("a", 1))
    world.client("reader", clean=False)
    details = world.routing.details()
    assert details["sessions"] == 1
    again = world.client("reader")
    assert again.sent == [Packet(Kind.CONNACK, b"\0\0")]
    world.client("writer").publish("a", qos=1)
    assert again.got() == []


def test_take_over_closes_the_older_connection_and_publishes_its_will() -> None:
    world = World()
    watcher = world.client("watcher")
    watcher.subscribe(("will", 0))
    first = world.client("same", will=LastWill(topic="will", payload=b"gone"))
    second = world.client("same")
    assert first.closed
    first.peer.end()
    assert watcher.got() == [("will", b"gone", 0, False)]
    second.subscribe(("a", 0))
    watcher.publish("a")
    assert len(second.got()) == 1, "the end of the first did not touch the second"


def test_disconnect_discards_the_will() -> None:
    world = World()
    watcher = world.client("watcher")
    watcher.subscribe(("will", 0))
    client = world.client("me", will=LastWill(topic="will", payload=b"gone"))
    with pytest.raises(LeftError):
        client.say(client.engine.disconnect())
    client.peer.end()
    assert watcher.got() == []


def test_a_slow_client_is_dropped_messages_and_holds_up_nobody() -> None:
    world = World(max_queued=10)
    slow, quick = world.client("slow"), world.client("quick")
    slow.subscribe(("a", 0))
    quick.subscribe(("a", 0))
    slow.backlog = BACKLOG
    for number in range(15):
        quick.publish("a", str(number).encode())
    assert len(quick.got()) == 15
    assert len(world.dropped) == 5
    assert world.routing.details()["dropped"] == 5
    slow.backlog = 0
    assert slow.peer.session is not None
    slow.peer.session.pump()
    assert [payload for _, payload, _, _ in slow.got()] == [str(number).encode() for number in range(10)]


def test_the_window_of_qos_1_moves_with_the_acknowledgements() -> None:
    world = World()
    reader, writer = world.client("reader"), world.client("writer")
    reader.subscribe(("a", 1))
    for number in range(WINDOW + 5):
        writer.publish("a", str(number).encode(), 1)
    sent = [event for event in reader.sent if isinstance(event, Publish)]
    assert len(sent) == WINDOW
    reader.sent.clear()
    reader.say(encode_ack(Kind.PUBACK, sent[0].packet_id) + encode_ack(Kind.PUBACK, sent[1].packet_id))
    assert [payload for _, payload, _, _ in reader.got()] == [b"100", b"101"]


def test_absent_sessions_are_bounded() -> None:
    world = World(max_absent=2)
    for number in range(5):
        client = world.client(f"c{number}", clean=False)
        client.subscribe(("a", 1))
        client.peer.end()
    assert world.routing.details()["sessions"] == 2
    assert world.client("c4", clean=False).sent[0] == Packet(Kind.CONNACK, b"\1\0")
    assert world.client("c0", clean=False).sent[0] == Packet(Kind.CONNACK, b"\0\0")


def refusal(client: Client, data: bytes) -> tuple[str, bytes]:
    with pytest.raises(RefusedError) as caught:
        client.say(data)
    return str(caught.value), caught.value.answer


def test_who_is_not_let_in_is_told_why() -> None:
    world = World(users={"joe": Secret("right")})

    def attempt(**settings: Any) -> tuple[str, bytes]:
        client = Client(world, Settings(**{"client_id": "me", "version": Version.V311, **settings}))
        return refusal(client, client.engine.connect())

    assert attempt()[1] == b"\x20\x02\x00\x05"
    assert attempt(username="joe", password="wrong")[1] == b"\x20\x02\x00\x04"
    assert attempt(username="ann", password="")[1] == b"\x20\x02\x00\x04"
    assert attempt(version=Version.V5)[1] == CONNACK_V5_UNSUPPORTED
    world.is_full = True
    assert attempt(username="joe", password="right")[1] == b"\x20\x02\x00\x03"
    world.is_full = False
    assert world.client(username="joe", password="right").sent == [Packet(Kind.CONNACK, b"\0\0")]


def test_a_lasting_session_needs_a_client_id_and_a_clean_one_is_given_one() -> None:
    world = World()
    client = Client(world, Settings(client_id="x", version=Version.V311))
    connect = bytes.fromhex("100c 0004 4d515454 04 00 0000 0000")
    assert refusal(client, connect)[1] == b"\x20\x02\x00\x02"
    client = Client(world, Settings(client_id="x", version=Version.V311))
    client.say(bytes.fromhex("100c 0004 4d515454 04 02 0000 0000"))
    assert client.peer.name == "given"


@pytest.mark.parametrize("first", ["c000", "30030001 61", "e000", "4002 0001"])
def test_the_first_packet_is_connect(first: str) -> None:
    with pytest.raises(ProtocolError, match="not CONNECT"):
        Client(World(), Settings(client_id="x", version=Version.V311)).say(bytes.fromhex(first))


def test_a_second_connect_ends_the_connection() -> None:
    client = World().client()
    with pytest.raises(ProtocolError, match="twice"):
        client.say(bytes.fromhex("100c 0004 4d515454 04 02 0000 0000"))


def test_a_filter_that_cannot_be_served_is_refused_and_the_others_are_not() -> None:
    client = World().client()
    suback = client.say(Packet(0x82, bytes.fromhex("0001 0002 6123 01 0001 61 01 000a") + b"$share/g/a\0").encode())
    assert suback == [Packet(Kind.SUBACK, b"\0\1\x80\1\x80")]


@given(st.binary(max_size=200))
def test_garbage_from_a_client_ends_at_most_its_own_connection(data: bytes) -> None:
    world = World()
    other, client = world.client("other"), world.client("me")
    other.subscribe(("#", 0))
    try:
        client.say(data)
    except (ProtocolError, LeftError, RefusedError):
        client.peer.end()
    other.sent.clear()
    world.client("third").publish("still/works")
    assert ("still/works", b"x", 0, False) in other.got()
