"""The receiving half of the data path: a stream of bytes cut into packets, PUBLISH and PUBACK decoded.

The rules:

- bytes may come in any pieces; the events are the same;
- a packet is decoded when its last byte is there; until then only the pieces are kept;
- a packet longer than ``max_packet`` is refused as soon as its length is known;
- a broken packet yields a :class:`ProtocolError` as the last event ever; what came before it counts.
"""

from __future__ import annotations

from typing import Final

from flowbus_mqtt.protocol.errors import (
    PACKET_TOO_LARGE,
    PROTOCOL_ERROR,
    TOPIC_ALIAS_INVALID,
    ProtocolError,
)
from flowbus_mqtt.protocol.packets import Packet, Puback, Publish, Version
from flowbus_mqtt.protocol.varint import MAX, decode_varint

Event = Publish | Puback | Packet | ProtocolError

_CACHED_TOPICS: Final = 4096


class Decoder:
    """Turns what a peer sends into events."""

    def __init__(self, version: Version, max_packet: int = MAX) -> None:
        """``max_packet`` is in bytes and counts the whole packet."""
        self._v5 = version == Version.V5
        self._max_packet = max_packet
        self._pieces: list[bytes] = []
        self._have = 0
        self._want = 2
        self._broken = False
        self._topics: dict[bytes, str] = {}

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes."""
        if self._broken:
            return []
        if self._pieces:
            self._pieces.append(data)
            self._have += len(data)
            if self._have < self._want:
                return []
            data = b"".join(self._pieces)
            self._pieces = []
        events: list[Event] = []
        try:
            rest = self._split(data, events)
        except ProtocolError as error:
            self._broken = True
            events.append(error)
            return events
        if rest < len(data):
            self._pieces.append(data[rest:])
            self._have = len(data) - rest
        return events

    def _split(self, data: bytes, events: list[Event]) -> int:
        """Append what ``data`` holds to ``events``; return where the first incomplete packet begins."""
        pos, size = 0, len(data)
        append, publish = events.append, self._publish
        longest = self._max_packet
        while size - pos > 1:
            first = data[pos]
            length = data[pos + 1]
            start = pos + 2
            if length > 127:
                if size - pos < 5 and data[size - 1] > 127:
                    break
                length, start = decode_varint(data, pos + 1, size)
            end = start + length
            if end - pos > longest:
                raise _too_large(end - pos, longest)
            if end > size:
                self._want = end - pos
                return pos
            kind = first & 0xF0
            if kind == 0x30:
                append(publish(data, first, start, end))
            elif kind == 0x40:
                append(self._puback(data, start, end))
            else:
                append(Packet(first, data[start:end]))
            pos = end
        self._want = size - pos + 1
        return pos

    def _publish(self, data: bytes, first: int, start: int, end: int) -> Publish:
        """Decode the variable header (MQTT 5.0, section 3.3.2)."""
        if end - start < 2:
            raise ProtocolError("a PUBLISH packet is too short for its topic")
        at = start + 2 + (data[start] << 8 | data[start + 1])
        if at > end:
            raise ProtocolError("a PUBLISH packet is too short for its topic")
        name = data[start + 2 : at]
        topic = self._topics.get(name)
        if topic is None:
            topic = self._new_topic(name)
        qos = first >> 1 & 3
        packet_id = 0
        if qos:
            if qos == 3:
                raise ProtocolError("a PUBLISH packet has QoS 3, which does not exist")
            packet_id = self._packet_id(data, at, end)
            at += 2
        properties = b""
        if self._v5:
            if at < end and data[at] < 128:  # nearly always; a call would cost more than all above
                length, at = data[at], at + 1
            else:
                length, at = decode_varint(data, at, end)
            if length:
                if at + length > end:
                    raise ProtocolError("a PUBLISH packet is too short for its properties")
                properties = data[at : at + length]
                at += length
        return Publish(topic, data[at:end], qos, packet_id, first & 1 == 1, first & 8 == 8, properties)

    def _puback(self, data: bytes, start: int, end: int) -> Puback:
        length = end - start
        if length == 2:
            return Puback(self._packet_id(data, start, end))
        if length < 2 or not self._v5:
            raise ProtocolError(f"a PUBACK packet has {length} bytes after its length")
        return Puback(self._packet_id(data, start, end), data[start + 2])

    @staticmethod
    def _packet_id(data: bytes, at: int, end: int) -> int:
        if at + 2 > end:
            raise ProtocolError("a packet is too short for its packet identifier")
        packet_id = data[at] << 8 | data[at + 1]
        if not packet_id:
            raise ProtocolError("a packet identifier is 0", PROTOCOL_ERROR)
        return packet_id

    def _new_topic(self, name: bytes) -> str:
        if not name:
            if self._v5:
                raise ProtocolError(
                    "a PUBLISH packet uses a topic alias, which was not offered", TOPIC_ALIAS_INVALID
                )
            raise ProtocolError("a PUBLISH packet has an empty topic", PROTOCOL_ERROR)
        try:
            topic = name.decode()
        except UnicodeDecodeError:
            raise ProtocolError("the topic of a PUBLISH packet is not UTF-8") from None
        if "\0" in topic or "+" in topic or "#" in topic:
            raise ProtocolError(f"the topic of a PUBLISH packet is {topic[:80]!a}, which MQTT forbids")
        if len(self._topics) >= _CACHED_TOPICS:
            self._topics.clear()
        self._topics[name] = topic
        return topic


def _too_large(length: int, longest: int) -> ProtocolError:
    return ProtocolError(
        f"a packet of {length} bytes is larger than the {longest} that are accepted",
        PACKET_TOO_LARGE,
    )
