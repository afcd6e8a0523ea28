"""The packets of the data path, and any other packet as it came."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from flowbus_mqtt.protocol.varint import encode_varint


class Version(IntEnum):
    """The protocol level that CONNECT carries."""

    V311 = 4
    V5 = 5


class Kind(IntEnum):
    """Control packet types (MQTT 5.0, section 2.1.2), in place in the first byte."""

    CONNECT = 0x10
    CONNACK = 0x20
    PUBLISH = 0x30
    PUBACK = 0x40
    PUBREC = 0x50
    PUBREL = 0x60
    PUBCOMP = 0x70
    SUBSCRIBE = 0x80
    SUBACK = 0x90
    UNSUBSCRIBE = 0xA0
    UNSUBACK = 0xB0
    PINGREQ = 0xC0
    PINGRESP = 0xD0
    DISCONNECT = 0xE0
    AUTH = 0xF0


class Publish(msgspec.Struct, gc=False):
    """A PUBLISH. ``packet_id`` is 0 for QoS 0; ``properties`` is the block without its length."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False
    properties: bytes = b""


class Puback(msgspec.Struct, gc=False):
    """A PUBACK; ``reason`` is 0 (success) throughout 3.1.1."""

    packet_id: int
    reason: int = 0


class Packet(msgspec.Struct, gc=False):
    """Any other packet: the first byte of its fixed header, and what follows the length."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        """The control packet type, without the flags."""
        return self.first & 0xF0

    @property
    def flags(self) -> int:
        """The low four bits of the first byte."""
        return self.first & 0x0F

    def encode(self) -> bytes:
        """Return the packet as it was on the wire."""
        return bytes((self.first,)) + encode_varint(len(self.body)) + self.body
