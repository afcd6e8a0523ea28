"""The nodes that publish to a broker and subscribe to one."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta

from flowbus import (
    Config,
    Delivery,
    End,
    Lost,
    Message,
    NodeIO,
    Outcome,
    Ref,
    Rejected,
    Template,
    io_node,
)
from flowbus_mqtt import faults
from flowbus_mqtt.client import Client
from flowbus_mqtt.connection import Broker
from flowbus_mqtt.incoming import Subscription
from flowbus_mqtt.outgoing import LOST, TooLargeError
from flowbus_mqtt.payload import Decode, decoder_for, encode_payload, headers_of
from flowbus_mqtt.protocol.packets import Publish
from flowbus_mqtt.protocol.topics import TopicError, encode_filter

REFUSED = 0x80
"""Reason codes from here on say no (MQTT 5.0, section 2.4)."""


class MqttOut(Config):
    """Publish each message to a broker."""

    connection: Annotated[Ref["mqtt"], Meta(description="The broker.")]
    topic: Annotated[
        Template | None,
        Meta(
            description="Topic to publish to, with gaps such as {topic} and {headers.name}; "
            "without it the topic of the message."
        ),
    ] = None
    qos: Annotated[
        Literal[0, 1],
        Meta(
            description="0: the message is confirmed when the operating system has it. "
            "1: when the broker has acknowledged it."
        ),
    ] = 0
    retain: Annotated[bool, Meta(description="Have the broker keep the last value of a topic.")] = False
    max_in_flight: Annotated[
        int, Meta(ge=1, le=65535, description="Messages of QoS 1 that may await the broker's answer.")
    ] = 100


@io_node("mqtt-out", outlets=())
async def mqtt_out(config: MqttOut, io: NodeIO) -> None:
    """Publish each message to an MQTT broker; bytes go as they are, texts as UTF-8, all else as JSON."""
    broker: Broker = await io.connection()
    publishing = Publishing(config, broker.publisher)
    io.connected(broker.text)
    await io.consume(publishing)


class Publishing:
    """The publications of one node."""

    def __init__(self, config: MqttOut, client: Client) -> None:
        self._outgoing = client.outgoing
        self._topic = config.topic
        self._qos = config.qos
        self._retain = config.retain
        self._max_in_flight = config.max_in_flight
        self._in_flight = 0
        limits = client.limits
        self._refusal = None
        if config.qos > limits.maximum_qos:
            self._refusal = faults.fault_of(0x9B)
        elif config.retain and not limits.retain_available:
            self._refusal = faults.fault_of(0x9A)

    def has_room(self) -> bool:
        """Tell whether :meth:`put` may be called now."""
        few = not self._qos or self._in_flight < self._max_in_flight
        return few and self._outgoing.has_room(self._qos)

    async def wait_room(self) -> None:
        """Wait until there is room for more than a single message."""
        self._outgoing.flush()
        if self._has_ample_room():
            return
        await self._outgoing.wait_until(self._has_ample_room)

    def _has_ample_room(self) -> bool:
        few = not self._qos or self._in_flight <= self._max_in_flight // 2
        return few and self._outgoing.has_ample_room(self._qos)

    def put(self, delivery: Delivery) -> None:
        """Send one message on its way; it is ended now if it is bad, else by the broker."""
        message = delivery.message
        try:
            if self._refusal is not None:
                raise Rejected(self._refusal)
            topic = message.topic if self._topic is None else self._topic.render(message)
            payload = encode_payload(message.payload)
            self._outgoing.publish(
                topic, payload, self._qos, self._retain, partial(self._done, delivery), wake=False
            )
        except Rejected as why:
            delivery.reject(why.fault, why.text)
        except TopicError as why:
            delivery.reject(faults.BAD_TOPIC, str(why))
        except TooLargeError as why:
            delivery.reject(faults.fault_of(0x95), str(why))
        except ValueError as why:  # beyond what any packet can hold
            delivery.reject(faults.fault_of(0x95), str(why))
        else:
            self._in_flight += 1

    def flush(self) -> None:
        """Send what was published."""
        self._outgoing.flush()

    def _done(self, delivery: Delivery, reason: int) -> None:
        """End a message as the broker decided; a lost one stays in the custody of the flow."""
        self._in_flight -= 1
        if reason == LOST or not delivery.open:
            return
        if reason < REFUSED:
            delivery.confirm()
        else:
            fault = faults.fault_of(reason)
            delivery.reject(fault, f"the broker refused the message: {fault.name}")


class MqttIn(Config):
    """Subscribe to topics of a broker and emit what is published there."""

    connection: Annotated[Ref["mqtt"], Meta(description="The broker.")]
    topics: Annotated[
        list[str],
        Meta(
            min_length=1,
            description="Topic filters: + stands for one level, # for all that follow; "
            "$share/<group>/<filter> shares the messages with others of the group.",
        ),
    ]
    qos: Annotated[
        Literal[0, 1],
        Meta(
            description="Highest QoS to receive with. 1: the broker is told when the flow has ended "
            "the message, and sends it again if that does not happen."
        ),
    ] = 0
    payload_format: Annotated[
        Literal["bytes", "text", "json"],
        Meta(description="What the payload becomes: bytes as they came, a text (UTF-8), or JSON values."),
    ] = "bytes"

    def __post_init__(self) -> None:
        for index, topic_filter in enumerate(self.topics):
            try:
                encode_filter(topic_filter)
            except TopicError as error:
                raise ValueError(f"topics[{index}]: {error}") from None


@io_node("mqtt-in")
async def mqtt_in(config: MqttIn, io: NodeIO) -> None:
    """Emit each message that is published to the topics, with headers ``qos`` and ``retain``."""
    broker: Broker = await io.connection()

    def on_granted(codes: tuple[int, ...]) -> None:
        report_grants(config, io, broker, subscription, codes)

    subscription = await broker.subscribe(config.topics, config.qos, on_granted)
    try:
        decode = decoder_for(config.payload_format)
        while True:
            for publish in await subscription.take():
                message = read(publish, decode, subscription, io)
                if message is None:
                    continue
                if publish.qos:
                    await io.send(message, on_end=partial(ended, subscription, publish))
                else:
                    await io.send(message)
    finally:
        subscription.close()


def report_grants(
    config: MqttIn, io: NodeIO, broker: Broker, subscription: Subscription, codes: tuple[int, ...]
) -> None:
    """Say what the broker thinks of the filters; the node fails where it wants none of them."""
    refused = [(item, code) for item, code in zip(config.topics, codes, strict=False) if code >= REFUSED]
    if not refused:
        io.connected(broker.text)
        return
    fault = faults.fault_of(refused[0][1])
    text = f"the broker refuses to subscribe {', '.join(item for item, _ in refused)}: {fault.name}"
    if len(refused) == len(codes):
        subscription.fail(Lost(fault, text))
    else:
        io.degraded(fault, text)


def read(publish: Publish, decode: Decode, subscription: Subscription, io: NodeIO) -> Message | None:
    """Return the message for the flow; None where the payload is not what it should be."""
    try:
        payload: Any = publish.payload if decode is None else decode(publish.payload)
    except ValueError as error:
        subscription.end(publish, 0x99)
        io.fault(faults.BAD_PAYLOAD, f"{publish.topic}: {error}")
        return None
    return Message(payload, publish.topic, headers_of(publish))


def ended(subscription: Subscription, publish: Publish, end: End) -> None:
    """Tell the broker how the message ended."""
    subscription.end(publish, REFUSED if end.outcome is Outcome.REJECTED else 0)
