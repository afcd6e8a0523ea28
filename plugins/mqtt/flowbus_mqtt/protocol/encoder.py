"""The sending half of the data path: PUBLISH and the packets that end it, of both versions."""

from __future__ import annotations

from typing import Final

from flowbus_mqtt.protocol.packets import Kind, Version
from flowbus_mqtt.protocol.topics import encode_topic
from flowbus_mqtt.protocol.varint import MAX, encode_varint

_CACHED_TOPICS: Final = 4096
_PUBLISH: Final = int(Kind.PUBLISH)  # an enum member makes every operation three times as slow


class PublishEncoder:
    """Encodes PUBLISH packets; remembers the encoded form of topics that it has seen."""

    def __init__(self, version: Version) -> None:
        self._v5 = version == Version.V5
        self._topics: dict[str, bytes] = {}

    def encode(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        packet_id: int = 0,
        dup: bool = False,
        properties: bytes = b"",
    ) -> bytes:
        """Return the packet. ``properties`` is a block without its length, ignored in 3.1.1.

        Raises TopicError for a bad topic and ValueError for a payload that no packet can hold.
        """
        head = self._topics.get(topic) or self._head(topic)
        if not self._v5:
            block = b""
        else:
            block = encode_varint(len(properties)) + properties if properties else b"\0"
        first = _PUBLISH | dup << 3 | qos << 1 | retain
        length = len(head) + len(block) + len(payload) + (2 if qos else 0)
        if length > MAX:
            raise ValueError(f"a packet of {length} bytes is longer than MQTT allows ({MAX})")
        start = bytes((first, length)) if length < 128 else bytes((first,)) + encode_varint(length)
        if qos:
            return b"".join((start, head, packet_id.to_bytes(2, "big"), block, payload))
        return b"".join((start, head, block, payload))

    def _head(self, topic: str) -> bytes:
        if len(self._topics) >= _CACHED_TOPICS:
            self._topics.clear()
        data = encode_topic(topic)
        head = self._topics[topic] = len(data).to_bytes(2, "big") + data
        return head


def encode_ack(kind: int, packet_id: int, reason: int = 0) -> bytes:
    """Return a PUBACK, PUBREC, PUBREL or PUBCOMP; ``reason`` above 0 exists only in 5.0."""
    first = kind | 2 if kind == Kind.PUBREL else kind
    if reason:
        return bytes((first, 3, packet_id >> 8, packet_id & 0xFF, reason))
    return bytes((first, 2, packet_id >> 8, packet_id & 0xFF))
