"""The node ``mqtt-broker``: it listens, and connects the flow with the broker's clients."""

from __future__ import annotations

import errno
from typing import Annotated, Literal

import trio
from msgspec import Meta

from flowbus import (
    ByteSize,
    Config,
    Delivery,
    Lost,
    Message,
    NodeIO,
    Rejected,
    Secret,
    Template,
    io_node,
)
from flowbus_mqtt import faults
from flowbus_mqtt.broker.listener import Listener
from flowbus_mqtt.broker.routing import Bounds, Routing
from flowbus_mqtt.broker.session import Session
from flowbus_mqtt.payload import decoder_for, encode_payload, headers_of
from flowbus_mqtt.protocol.packets import Publish
from flowbus_mqtt.protocol.topics import TopicError, encode_filter, encode_topic, matches

Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class MqttBroker(Config):
    """Be an MQTT 3.1.1 broker; messages from the flow are published, those of clients may leave."""

    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one, which the status shows.")
    ] = 1883
    max_clients: Annotated[Count, Meta(description="Clients that may be connected.")] = 100
    users: Annotated[
        dict[str, Secret] | None,
        Meta(description="Passwords by user name; without it anyone may connect."),
    ] = None
    topic: Annotated[
        Template | None,
        Meta(description="Topic to publish messages of the flow to; without it the message's own."),
    ] = None
    qos: Annotated[Literal[0, 1], Meta(description="QoS of what the flow publishes.")] = 1
    retain: Annotated[bool, Meta(description="Keep what the flow publishes as last values.")] = False
    forward: Annotated[
        list[str],
        Meta(description="Topic filters: what clients publish there leaves by `out`."),
    ] = []  # noqa: RUF012  msgspec gives every config its own
    payload_format: Annotated[
        Literal["bytes", "text", "json"], Meta(description="What a payload becomes that leaves by `out`.")
    ] = "bytes"
    max_queued: Annotated[
        Count, Meta(description="Messages kept for a client that is slow or away; more are dropped.")
    ] = 1000
    max_retained: Annotated[Count, Meta(description="Topics with a retained message.")] = 10_000
    max_absent: Annotated[
        Count, Meta(description="Lasting sessions of clients that are away; the oldest goes first.")
    ] = 1000
    max_packet_size: Annotated[
        ByteSize, Meta(le=268_435_455, description="Largest packet that a client may send.")
    ] = 1 << 20

    def __post_init__(self) -> None:
        for index, topic_filter in enumerate(self.forward):
            try:
                encode_filter(topic_filter)
            except TopicError as error:
                raise ValueError(f"forward[{index}]: {error}") from None
        if self.max_packet_size < 1024:
            raise ValueError("max_packet_size: 1024 bytes at least")


@io_node("mqtt-broker", duplex=True, listens=True)
async def mqtt_broker(config: MqttBroker, io: NodeIO) -> None:
    """Be an MQTT 3.1.1 broker that other programs publish and subscribe to."""
    try:
        listeners = await trio.open_tcp_listeners(config.port, host=config.host)
    except OSError as error:
        fault = faults.ADDRESS_IN_USE if error.errno == errno.EADDRINUSE else faults.CANNOT_CONNECT
        text = (error.strerror or str(error)).lower()
        raise Lost(fault, f"cannot listen on {config.host}:{config.port}: {text}") from error
    bounds = Bounds(
        max_queued=config.max_queued, max_retained=config.max_retained, max_absent=config.max_absent
    )

    def dropped(session: Session) -> None:
        io.fault(faults.QUEUE_FULL, f"client {session.client_id!r} has {session.queued} messages waiting")

    routing = Routing(bounds, dropped)
    listener = Listener(routing, config.users, config.max_clients, config.max_packet_size)
    listener.fault = io.fault
    if config.forward:
        listener.forward = Forward(config, io)
    io.details(routing.details)
    port = listeners[0].socket.getsockname()[1]
    io.connected(f"{config.host}:{port}")
    async with trio.open_nursery() as nursery:
        for each in listeners:
            nursery.start_soon(listener.serve, each)
        while True:
            for delivery in await io.take_many():
                publish(config, routing, delivery)


def publish(config: MqttBroker, routing: Routing, delivery: Delivery) -> None:
    """Publish a message of the flow."""
    message = delivery.message
    try:
        topic = message.topic if config.topic is None else config.topic.render(message)
        encode_topic(topic)
        payload = encode_payload(message.payload)
    except Rejected as why:
        delivery.reject(why.fault, why.text)
        return
    except TopicError as why:
        delivery.reject(faults.BAD_TOPIC, str(why))
        return
    routing.publish(Publish(topic, payload, config.qos, 0, config.retain))
    delivery.confirm()


class Forward:
    """What clients publish and the flow wants to see."""

    def __init__(self, config: MqttBroker, io: NodeIO) -> None:
        self._filters = config.forward
        self._decode = decoder_for(config.payload_format)
        self._io = io

    def wants(self, publish: Publish) -> bool:
        """Tell whether a message leaves by ``out``."""
        return any(matches(item, publish.topic) for item in self._filters)

    async def send(self, publish: Publish) -> None:
        """Emit a message; waits while the wires are full."""
        payload = publish.payload
        if self._decode is not None:
            try:
                payload = self._decode(payload)
            except ValueError as error:
                self._io.fault(faults.BAD_PAYLOAD, f"{publish.topic}: {error}")
                return
        await self._io.send(Message(payload, publish.topic, headers_of(publish)))
