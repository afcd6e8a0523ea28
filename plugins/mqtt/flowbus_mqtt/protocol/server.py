"""The server's side of the MQTT 3.1.1 control packets: what clients send, and the answers to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from flowbus_mqtt.protocol.errors import PROTOCOL_ERROR, ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet
from flowbus_mqtt.protocol.topics import TopicError, encode_filter, encode_topic

ACCEPTED: Final = 0
REFUSED_VERSION: Final = 1
REFUSED_CLIENT_ID: Final = 2
REFUSED_UNAVAILABLE: Final = 3
REFUSED_CREDENTIALS: Final = 4
REFUSED_NOT_AUTHORIZED: Final = 5
SUBACK_FAILURE: Final = 0x80
PINGRESP: Final = b"\xd0\x00"
CONNACK_V5_UNSUPPORTED: Final = b"\x20\x03\x00\x84\x00"
"""Refusal of a 5.0 client in its own form: reason 0x84, no properties (MQTT 5.0, section 3.2)."""

_LONGEST_SUBSCRIBE: Final = 1000


class Will(msgspec.Struct, frozen=True):
    """What the server publishes when the client goes without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Connect(msgspec.Struct, frozen=True):
    """CONNECT (MQTT 3.1.1, section 3.1). ``level`` other than 4: nothing else was read."""

    level: int
    client_id: str = ""
    clean_session: bool = True
    keepalive: int = 0
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None


class Subscribe(msgspec.Struct, frozen=True):
    """SUBSCRIBE (section 3.8): filters with the QoS asked for. A bad filter is None."""

    packet_id: int
    filters: list[tuple[str | None, int]]


class Unsubscribe(msgspec.Struct, frozen=True):
    """UNSUBSCRIBE (section 3.10)."""

    packet_id: int
    filters: list[str]


class Acknowledge(msgspec.Struct, frozen=True):
    """PUBREC, PUBREL or PUBCOMP (sections 3.5 to 3.7)."""

    kind: int
    packet_id: int


class Pingreq(msgspec.Struct, frozen=True):
    """PINGREQ (section 3.12)."""


class Disconnect(msgspec.Struct, frozen=True):
    """DISCONNECT (section 3.14)."""


ClientPacket = Connect | Subscribe | Unsubscribe | Acknowledge | Pingreq | Disconnect


class _Cursor:
    """Reads fields off a packet body; ProtocolError where it is too short."""

    def __init__(self, body: bytes, what: str) -> None:
        self._body = body
        self._at = 0
        self._what = what

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise ProtocolError(f"a {self._what} packet is too short")
        start, self._at = self._at, self._at + length
        return self._body[start : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise ProtocolError(f"a text in a {self._what} packet is not UTF-8") from None
        if "\0" in text:
            raise ProtocolError(f"a text in a {self._what} packet holds a NUL character")
        return text

    def packet_id(self) -> int:
        number = self.number()
        if not number:
            raise ProtocolError(f"the packet identifier of a {self._what} packet is 0")
        return number

    def end(self) -> None:
        if self.left:
            raise ProtocolError(f"a {self._what} packet has {self.left} bytes too many")


def decode_client_packet(packet: Packet) -> ClientPacket:
    """Decode what a client may send besides PUBLISH and PUBACK."""
    kind, flags = packet.kind, packet.flags
    wanted = 2 if kind in (Kind.PUBREL, Kind.SUBSCRIBE, Kind.UNSUBSCRIBE) else 0
    if flags != wanted:
        raise ProtocolError(f"a packet of type {kind >> 4} has the flags {flags}, not {wanted}")
    if kind == Kind.CONNECT:
        return _connect(_Cursor(packet.body, "CONNECT"))
    if kind == Kind.SUBSCRIBE:
        return _subscribe(_Cursor(packet.body, "SUBSCRIBE"))
    if kind == Kind.UNSUBSCRIBE:
        return _unsubscribe(_Cursor(packet.body, "UNSUBSCRIBE"))
    if kind in (Kind.PUBREC, Kind.PUBREL, Kind.PUBCOMP):
        cursor = _Cursor(packet.body, Kind(kind).name)
        packet_id = cursor.packet_id()
        cursor.end()
        return Acknowledge(kind, packet_id)
    if kind in (Kind.PINGREQ, Kind.DISCONNECT):
        _Cursor(packet.body, Kind(kind).name).end()
        return Pingreq() if kind == Kind.PINGREQ else Disconnect()
    raise ProtocolError(f"a client must not send packets of type {kind >> 4}", PROTOCOL_ERROR)


def _connect(cursor: _Cursor) -> Connect:
    name = cursor.text()
    if name not in ("MQTT", "MQIsdp"):
        raise ProtocolError(f"a CONNECT packet is for the protocol {name[:20]!a}, not MQTT")
    level = cursor.byte()
    if level != 4 or name != "MQTT":
        return Connect(level if name == "MQTT" else 3)
    flags = cursor.byte()
    keepalive = cursor.number()
    _check_connect_flags(flags)
    client_id = cursor.text()
    will = _will(cursor, flags) if flags & 0x04 else None
    username = cursor.text() if flags & 0x80 else None
    password = cursor.binary() if flags & 0x40 else None
    cursor.end()
    return Connect(level, client_id, flags & 2 == 2, keepalive, will, username, password)


def _check_connect_flags(flags: int) -> None:
    """Refuse the reserved and contradicting combinations of section 3.1.2."""
    if flags & 0x01:
        raise ProtocolError("a CONNECT packet sets the reserved flag")
    if not flags & 0x04 and flags & 0x38:
        raise ProtocolError("a CONNECT packet gives QoS or retain of a will that it does not have")
    if flags & 0x18 == 0x18:
        raise ProtocolError("the will of a CONNECT packet has QoS 3")
    if flags & 0x40 and not flags & 0x80:
        raise ProtocolError("a CONNECT packet has a password without a user name")


def _will(cursor: _Cursor, flags: int) -> Will:
    topic = cursor.text()
    try:
        encode_topic(topic)
    except TopicError as error:
        raise ProtocolError(f"the will of a CONNECT packet: {error}") from None
    return Will(topic, cursor.binary(), flags >> 3 & 3, flags & 0x20 == 0x20)


def _subscribe(cursor: _Cursor) -> Subscribe:
    packet_id = cursor.packet_id()
    filters: list[tuple[str | None, int]] = []
    while cursor.left or not filters:
        topic_filter: str | None = cursor.text()
        qos = cursor.byte()
        if qos > 2:
            raise ProtocolError(f"a SUBSCRIBE packet asks for QoS {qos}")
        try:
            encode_filter(topic_filter or "")
        except TopicError:
            topic_filter = None
        filters.append((topic_filter, qos))
        if len(filters) > _LONGEST_SUBSCRIBE:
            raise ProtocolError(f"a SUBSCRIBE packet has more than {_LONGEST_SUBSCRIBE} filters")
    return Subscribe(packet_id, filters)


def _unsubscribe(cursor: _Cursor) -> Unsubscribe:
    packet_id = cursor.packet_id()
    filters = [cursor.text()]
    while cursor.left:
        filters.append(cursor.text())
    return Unsubscribe(packet_id, filters)


def encode_connack(code: int, session_present: bool = False) -> bytes:
    """CONNACK (section 3.2)."""
    return bytes((Kind.CONNACK, 2, session_present, code))


def encode_suback(packet_id: int, codes: Sequence[int]) -> bytes:
    """SUBACK (section 3.9): the granted QoS, or 0x80, of each filter."""
    body = packet_id.to_bytes(2, "big") + bytes(codes)
    return Packet(Kind.SUBACK, body).encode()


def encode_unsuback(packet_id: int) -> bytes:
    """UNSUBACK (section 3.11)."""
    return bytes((Kind.UNSUBACK, 2)) + packet_id.to_bytes(2, "big")
