"""The connection type ``mqtt``: one broker, shared by the nodes that publish to it and subscribe to it.

It has two sessions. One publishes, and is open as long as the connection is; a second one receives,
and is opened when the first node subscribes. So an input that the flow holds up never delays the
acknowledgement of what is published.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import trio
from msgspec import Meta

from flowbus import TLS, ByteSize, Config, ConnectionIO, Secret, connection
from flowbus_mqtt import faults
from flowbus_mqtt.client import Client, ConnectRefused, OnGranted, open_client
from flowbus_mqtt.dial import parse_url
from flowbus_mqtt.incoming import Incoming, Subscription
from flowbus_mqtt.protocol.packets import Publish, Version
from flowbus_mqtt.protocol.topics import encode_topic
from flowbus_mqtt.settings import LastWill, Settings

_WRONG_VERSION: Final = 0x84
_DAY: Final = 86_400
_LONGEST: Final = 65_535
"""Bytes that a text or binary field of CONNECT holds (MQTT 5.0, section 1.5.4)."""

Seconds = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]


class Will(Config):
    """What the broker publishes when the connection ends without a word."""

    topic: Annotated[str, Meta(description="Topic of the message.")]
    payload: Annotated[str, Meta(description="Payload, as UTF-8.")] = ""
    qos: Annotated[Literal[0, 1, 2], Meta(description="QoS of the message.")] = 0
    retain: Annotated[bool, Meta(description="Keep it as the last value of the topic.")] = False

    def __post_init__(self) -> None:
        encode_topic(self.topic)
        if len(self.payload.encode()) > _LONGEST:
            raise ValueError(f"payload: a will has {_LONGEST} bytes at most")


class Mqtt(Config):
    """A broker that speaks MQTT 5.0 or 3.1.1."""

    url: Annotated[
        str,
        Meta(
            description="The broker: mqtt://host or mqtts://host, with :port where it is not 1883 "
            "or 8883."
        ),
    ]
    version: Annotated[
        Literal["auto", "5", "3.1.1"],
        Meta(description="MQTT version; auto asks for 5 and takes 3.1.1 where 5 is refused."),
    ] = "auto"
    client_id: Annotated[
        str,
        Meta(
            description="Client id, one of its own for every client of the broker; without it "
            "flowbus-<host>-<connection>. The receiving session adds -in.",
        ),
    ] = ""
    username: Annotated[str | None, Meta(description="User name.")] = None
    password: Annotated[Secret | None, Meta(description="Password of the user.")] = None
    keepalive: Annotated[
        int,
        Meta(
            ge=1, le=65535,
            description="Seconds: a broker that is silent for 1.25 times as long is lost.",
        ),
    ] = 30  # fmt: skip
    clean_start: Annotated[
        bool,
        Meta(
            description="Begin each receiving session anew. Off, the broker keeps its subscriptions "
            "and messages of QoS 1 while it is away."
        ),
    ] = True
    session_expiry: Annotated[
        Seconds | None,
        Meta(
            description="Seconds that the broker keeps the receiving session (MQTT 5); without it 0, "
            "or a day with clean_start off."
        ),
    ] = None
    receive_maximum: Annotated[
        int,
        Meta(
            ge=1, le=65535,
            description="Messages of QoS 1 that the broker may send before the flow has ended the "
            "first (MQTT 5).",
        ),
    ] = 100  # fmt: skip
    max_packet_size: Annotated[
        ByteSize, Meta(le=268_435_455, description="Largest packet that is received.")
    ] = 16 << 20
    will: Annotated[
        Will | None, Meta(description="Published by the broker when this connection is lost.")
    ] = None
    tls: Annotated[TLS | None, Meta(description="TLS options, for mqtts://.")] = None
    connect_timeout: Annotated[
        float, Meta(gt=0, description="Seconds for name, TCP, TLS and the broker's answer together.")
    ] = 10.0

    def __post_init__(self) -> None:
        try:
            address = parse_url(self.url)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if self.tls is not None and not address.secure:
            raise ValueError("tls: is given, but url begins with mqtt://; write mqtts://")
        if self.tls is not None:
            self.tls.check_as_client()
        if self.password is not None and self.username is None:
            raise ValueError("password: is given without username")
        if self.max_packet_size < 1024:
            raise ValueError("max_packet_size: 1024 bytes at least")
        _check_text("client_id", self.client_id)
        _check_text("username", self.username or "")
        if self.password is not None and len(self.password.reveal().encode()) > _LONGEST:
            raise ValueError(f"password: {_LONGEST} bytes at most")

    def settings(self, name: str) -> Settings:
        """Return the publishing session; nothing of it outlives its connection."""
        will = self.will
        return Settings(
            client_id=self.client_id or f"flowbus-{socket.gethostname()}-{name}",
            version=Version.V311 if self.version == "3.1.1" else Version.V5,
            username=self.username,
            password=None if self.password is None else self.password.reveal(),
            keepalive=self.keepalive,
            receive_maximum=self.receive_maximum,
            max_packet_size=self.max_packet_size,
            will=None
            if will is None
            else LastWill(
                topic=will.topic, payload=will.payload.encode(), qos=will.qos, retain=will.retain
            ),
        )

    def receiving(self, settings: Settings) -> Settings:
        """Return the receiving session beside a publishing one."""
        expiry = self.session_expiry
        if expiry is None:
            expiry = 0 if self.clean_start else _DAY
        return msgspec.structs.replace(
            settings, client_id=f"{settings.client_id}-in", will=None,
            clean_start=self.clean_start, session_expiry=expiry,
        )  # fmt: skip


def _check_text(option: str, text: str) -> None:
    if "\0" in text:
        raise ValueError(f"{option}: must not hold a NUL character")
    if len(text.encode()) > _LONGEST - len("-in"):
        raise ValueError(f"{option}: {_LONGEST - len('-in')} bytes at most")


class Broker:
    """What nodes get: a client to publish with, and subscriptions."""

    def __init__(self, publisher: Client, config: Mqtt, io: ConnectionIO, nursery: trio.Nursery) -> None:
        self.publisher = publisher
        self._config = config
        self._io = io
        self._nursery = nursery
        self._opening = trio.Lock()
        self._receiving: tuple[Client, Incoming] | None = None

    @property
    def text(self) -> str:
        """Where it is and what it speaks, for a status."""
        version = "5.0" if self.publisher.settings.version == Version.V5 else "3.1.1"
        return f"{self.publisher.address}, MQTT {version}"

    async def subscribe(self, filters: Sequence[str], qos: int, on_granted: OnGranted) -> Subscription:
        """Subscribe to checked filters; ``on_granted`` gets the broker's code for each filter."""
        async with self._opening:
            if self._receiving is None:
                self._receiving = await self._open_receiving()
        client, incoming = self._receiving
        client.subscribe([(item, qos) for item in filters], on_granted)
        return incoming.join(filters)

    async def _open_receiving(self) -> tuple[Client, Incoming]:
        config, publisher = self._config, self.publisher
        settings = config.receiving(publisher.settings)
        tls = config.tls or TLS()
        client = await open_client(publisher.address, tls, settings, config.connect_timeout)
        incoming = Incoming(client, self._unwanted)
        client.receiver = incoming
        self._nursery.start_soon(client.run)
        return client, incoming

    def _unwanted(self, publish: Publish) -> None:
        self._io.fault(faults.NOBODY_WANTS, f"no node subscribes to {publish.topic!r}")

    def details(self) -> dict[str, Any]:
        """Numbers for ``flowbus status --json``."""
        outgoing, limits = self.publisher.outgoing, self.publisher.limits
        shown: dict[str, Any] = {
            "version": "5.0" if self.publisher.settings.version == Version.V5 else "3.1.1",
            "client_id": limits.client_id,
            "buffered_bytes": outgoing.buffered,
            "in_flight": outgoing.in_flight,
            "receive_maximum": limits.receive_maximum,
            "max_packet_size": limits.max_packet_size,
        }
        if self._receiving is not None:
            shown["unended"] = self._receiving[1].unended
        return shown


@connection("mqtt")
async def mqtt(config: Mqtt, io: ConnectionIO) -> AsyncIterator[Broker]:
    """Keep a session with an MQTT broker for the nodes that publish and subscribe."""
    publisher = await _open_publisher(config, config.settings(io.name))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publisher.run)
        broker = Broker(publisher, config, io, nursery)
        (config.tls or TLS()).say_connected(io, "mqtt", broker.text)
        io.details(broker.details)
        yield broker
        nursery.cancel_scope.cancel()


async def _open_publisher(config: Mqtt, settings: Settings) -> Client:
    address, tls = parse_url(config.url), config.tls or TLS()
    try:
        return await open_client(address, tls, settings, config.connect_timeout)
    except ConnectRefused as refused:
        if config.version != "auto" or refused.reason != _WRONG_VERSION:
            raise
    older = msgspec.structs.replace(settings, version=Version.V311)
    return await open_client(address, tls, older, config.connect_timeout)
