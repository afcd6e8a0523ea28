"""The client against a broker played by the test, on a clock of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from flowbus_mqtt import faults
from flowbus_mqtt.client import Client, connect_over, open_client
from flowbus_mqtt.dial import Address
from flowbus_mqtt.outgoing import BUFFER, LOST, TooLargeError
from flowbus_mqtt.protocol.decoder import Decoder, Event
from flowbus_mqtt.protocol.encoder import PublishEncoder, encode_ack
from flowbus_mqtt.protocol.packets import Kind, Packet, Publish, Version
from flowbus_mqtt.protocol.properties import encode_properties
from flowbus_mqtt.protocol.topics import TopicError
from flowbus_mqtt.settings import Settings

from flowbus import TLS, Lost

ADDRESS = Address("broker", 1883, False)


class Broker:
    """The other end of the stream."""

    def __init__(self, stream: trio.abc.Stream, version: Version) -> None:
        self.stream = stream
        self._decoder = Decoder(version)
        self._events: list[Event] = []

    async def next(self) -> Event:
        while not self._events:
            data = await self.stream.receive_some(65_536)
            if not data:
                raise EOFError
            self._events = self._decoder.feed(bytes(data))
        return self._events.pop(0)

    async def next_publish(self) -> Publish:
        event = await self.next()
        while isinstance(event, Packet) and event.kind == Kind.PINGREQ:
            event = await self.next()
        assert isinstance(event, Publish), event
        return event

    async def accept(self, **properties: Any) -> None:
        connect = await self.next()
        assert isinstance(connect, Packet)
        assert connect.kind == Kind.CONNECT
        block = encode_properties(properties)
        await self.stream.send_all(bytes((0x20, 3 + len(block), 0, 0, len(block))) + block)


async def session(
    test: Callable[[Client, Broker], Awaitable[None]], settings: Settings | None = None, **properties: Any
) -> None:
    """Run ``test`` with a client and its broker; the client's session ends with it."""
    ours, theirs = trio.testing.memory_stream_pair()
    broker = Broker(theirs, Version.V5)
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: broker.accept(**properties))
            client = await connect_over(ours, ADDRESS, settings or Settings(client_id="me"))
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as inner:
                inner.start_soon(client.run)
                await test(client, broker)
                inner.cancel_scope.cancel()


async def lost_by(test: Callable[[Client, Broker], Awaitable[None]], **properties: Any) -> Lost:
    with pytest.raises(ExceptionGroup) as caught:
        await session(test, **properties)
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, Lost)
    return error


async def test_qos_1_ends_with_the_reason_of_its_puback() -> None:
    ends: list[int] = []

    async def test(client: Client, broker: Broker) -> None:
        client.outgoing.publish("a", b"1", 1, False, ends.append)
        client.outgoing.publish("a", b"2", 1, False, ends.append)
        for reason in (0x87, 0x10):
            publish = await broker.next_publish()
            await broker.stream.send_all(encode_ack(Kind.PUBACK, publish.packet_id, reason))
        await client.outgoing.wait_until(lambda: len(ends) == 2)

    await session(test)
    assert ends == [0x87, 0x10]


async def test_qos_0_ends_when_it_is_written_and_not_before() -> None:
    ends: list[int] = []

    async def test(client: Client, broker: Broker) -> None:
        client.outgoing.publish("a", b"1", 0, False, ends.append)
        assert ends == []
        await client.outgoing.wait_until(lambda: True)
        assert ends == [0]

    await session(test)


async def test_what_has_no_end_when_the_broker_goes_is_reported_lost_once() -> None:
    ends: list[int] = []

    async def test(client: Client, broker: Broker) -> None:
        client.outgoing.publish("a", b"1", 1, False, ends.append)
        await broker.next_publish()
        await broker.stream.aclose()
        client.outgoing.publish("a", b"2", 1, False, ends.append)
        client.outgoing.publish("a", b"3", 0, False, ends.append)
        await trio.sleep_forever()

    lost = await lost_by(test)
    assert lost.fault is faults.CONNECTION_LOST
    assert ends == [LOST, LOST, LOST]


async def test_receive_maximum_is_the_window() -> None:
    async def test(client: Client, broker: Broker) -> None:
        outgoing = client.outgoing
        for _ in range(3):
            assert outgoing.has_room(1)
            outgoing.publish("a", b"", 1, False, lambda reason: None)
        assert not outgoing.has_room(1)
        assert outgoing.has_room(0)
        publish = await broker.next_publish()
        await broker.stream.send_all(encode_ack(Kind.PUBACK, publish.packet_id))
        await outgoing.wait_until(lambda: outgoing.has_room(1))
        assert outgoing.in_flight == 2

    await session(test, receive_maximum=3)


async def test_a_packet_over_the_limit_of_the_broker_is_refused_before_the_wire() -> None:
    async def test(client: Client, broker: Broker) -> None:
        for qos in (0, 1):
            with pytest.raises(TooLargeError, match="the broker takes 100"):
                client.outgoing.publish("a", b"x" * 100, qos, False, lambda reason: None)
        with pytest.raises(TopicError):
            client.outgoing.publish("a/+", b"", 1, False, lambda reason: None)
        assert client.outgoing.in_flight == 0
        assert client.outgoing.buffered == 0
        client.outgoing.publish("a", b"small", 1, False, lambda reason: None)
        assert (await broker.next_publish()).payload == b"small"

    await session(test, maximum_packet_size=100)


async def test_the_buffer_is_bounded_while_the_broker_does_not_read() -> None:
    async def test(client: Client, broker: Broker) -> None:
        outgoing = client.outgoing
        while outgoing.has_room(0):
            outgoing.publish("a", b"x" * 1000, 0, False, lambda reason: None)
        assert BUFFER <= outgoing.buffered < BUFFER + 1100

    await session(test)


async def test_many_messages_go_out_in_few_writes() -> None:
    writes: list[int] = []

    async def test(client: Client, broker: Broker) -> None:
        for _ in range(500):
            client.outgoing.publish("a", b"x" * 100, 0, False, lambda reason: None)
        await client.outgoing.wait_until(lambda: True)
        data = await broker.stream.receive_some(1_000_000)
        writes.append(len(data))

    await session(test)
    assert writes[0] > 50_000


async def test_a_broker_that_is_asked_answers_and_the_session_goes_on(autojump_clock: Any) -> None:
    async def test(client: Client, broker: Broker) -> None:
        for _ in range(20):
            event = await broker.next()
            assert isinstance(event, Packet)
            assert event.kind == Kind.PINGREQ
            await broker.stream.send_all(b"\xd0\x00")
        assert trio.current_time() > started + 20 * 15

    started = trio.current_time()
    await session(test)


async def test_a_silent_broker_is_lost_within_one_and_a_half_keepalives(autojump_clock: Any) -> None:
    started = trio.current_time()

    async def test(client: Client, broker: Broker) -> None:
        await trio.sleep_forever()

    lost = await lost_by(test)
    assert lost.fault is faults.KEEPALIVE_TIMEOUT
    assert 30 < trio.current_time() - started <= 45


async def test_the_keepalive_of_the_broker_counts(autojump_clock: Any) -> None:
    started = trio.current_time()

    async def test(client: Client, broker: Broker) -> None:
        await trio.sleep_forever()

    await lost_by(test, server_keep_alive=4)
    assert trio.current_time() - started <= 6


async def test_a_busy_publisher_does_not_hide_a_silent_broker(autojump_clock: Any) -> None:
    started = trio.current_time()

    async def test(client: Client, broker: Broker) -> None:
        while True:
            if client.outgoing.has_room(0):
                client.outgoing.publish("a", b"", 0, False, lambda reason: None)
            await trio.sleep(1)

    assert (await lost_by(test)).fault is faults.KEEPALIVE_TIMEOUT
    assert trio.current_time() - started <= 45


class Slow:
    """A receiver that is full until it is told otherwise."""

    def __init__(self) -> None:
        self.got: list[Publish] = []
        self.full = False
        self.room = trio.Event()

    def receive(self, publish: Publish) -> None:
        self.got.append(publish)
        self.full = True

    def is_full(self) -> bool:
        return self.full

    async def wait_room(self) -> None:
        await self.room.wait()

    def tick(self, now: float) -> None:
        pass


async def test_a_paused_input_is_not_taken_for_a_silent_broker(autojump_clock: Any) -> None:
    receiver = Slow()

    async def test(client: Client, broker: Broker) -> None:
        client.receiver = receiver
        packet = PublishEncoder(Version.V5).encode("a", b"x")
        await broker.stream.send_all(packet)
        await trio.sleep(1)
        await broker.stream.send_all(packet)
        await trio.sleep(1000 - 200)
        assert len(receiver.got) == 1
        receiver.full = False
        receiver.room.set()
        await trio.sleep(1)
        assert len(receiver.got) == 2

    await session(test)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("e0018e", "mqtt.0x8e"),
        ("e000", "mqtt.connection_lost"),
        ("30020005", "mqtt.bad_packet"),
        ("9000", "mqtt.bad_packet"),
    ],
)
async def test_what_ends_a_session_is_named(sent: str, code: str) -> None:
    async def test(client: Client, broker: Broker) -> None:
        await broker.stream.send_all(bytes.fromhex(sent))
        await trio.sleep_forever()

    assert (await lost_by(test)).fault.code == code


async def test_a_message_that_the_broker_hangs_up_on_is_refused_and_not_lost() -> None:
    ends: list[int] = []

    async def test(client: Client, broker: Broker) -> None:
        client.outgoing.publish("a", b"", 1, False, ends.append)
        await broker.next_publish()
        await broker.stream.send_all(bytes.fromhex("e00199"))
        await trio.sleep_forever()

    await lost_by(test)
    assert ends == [0x99]


async def test_of_several_messages_none_is_blamed() -> None:
    ends: list[int] = []

    async def test(client: Client, broker: Broker) -> None:
        client.outgoing.publish("a", b"", 1, False, ends.append)
        client.outgoing.publish("a", b"", 1, False, ends.append)
        await broker.next_publish()
        await broker.stream.send_all(bytes.fromhex("e00199"))
        await trio.sleep_forever()

    await lost_by(test)
    assert ends == [LOST, LOST]


async def test_a_cancelled_session_says_goodbye_after_what_was_published() -> None:
    events: list[Event] = []
    brokers: list[Broker] = []

    async def test(client: Client, broker: Broker) -> None:
        brokers.append(broker)
        client.outgoing.publish("a", b"last", 0, False, lambda reason: None)

    await session(test)
    with pytest.raises(EOFError):
        while True:
            events.append(await brokers[0].next())
    assert events[0] == Publish("a", b"last")
    assert events[1] == Packet(Kind.DISCONNECT, b"")


async def test_subscribe_gets_the_codes_of_the_broker() -> None:
    granted: list[tuple[int, ...]] = []

    async def test(client: Client, broker: Broker) -> None:
        async def answer() -> None:
            packet = await broker.next()
            assert isinstance(packet, Packet)
            await broker.stream.send_all(b"\x90\x05" + packet.body[:2] + b"\x00\x01\x87")

        async with trio.open_nursery() as nursery:
            client.subscribe([("a", 1), ("b", 1)], granted.append)
            nursery.start_soon(answer)
            while not granted:
                await trio.testing.wait_all_tasks_blocked()
        assert granted == [(1, 0x87)]

    await session(test)


async def refused_with(answer: bytes, **more: Any) -> Lost:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(answer)
    await theirs.send_eof()
    with trio.fail_after(5), pytest.raises(Lost) as caught:
        await connect_over(ours, ADDRESS, Settings(client_id="me", **more))
    return caught.value


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ("2003008700", "mqtt.0x87", "Not authorized"),
        ("2003008600", "mqtt.0x86", "user 'joe'"),
        ("20020001", "mqtt.0x84", "return code 1"),
        ("", "mqtt.closed_at_once", "without CONNACK"),
        ("485454502f312e31", "mqtt.bad_packet", "broker:1883"),
        ("d000", "mqtt.bad_packet", "not CONNACK"),
        ("2003007700", "mqtt.0x80", "Unspecified"),
    ],
)
async def test_a_refusal_is_named(answer: str, code: str, text: str) -> None:
    lost = await refused_with(bytes.fromhex(answer), username="joe", password="secret")
    assert lost.fault.code == code
    assert text in lost.text
    assert "secret" not in lost.text


@pytest.mark.parametrize(("secure", "text"), [(False, "did not answer CONNECT"), (True, "did not complete TCP and TLS")])
async def test_a_broker_that_says_nothing_is_given_up(secure: bool, text: str) -> None:
    """Both the missing CONNACK and the hung TLS handshake end at the deadline."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = Address("127.0.0.1", listener.socket.getsockname()[1], secure)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, silent, [listener])
            with pytest.raises(Lost) as caught:
                await open_client(address, TLS(verify=False), Settings(client_id="me"), 0.1)
            nursery.cancel_scope.cancel()
    assert caught.value.fault is faults.CONNECT_TIMEOUT
    assert text in caught.value.text


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()
