"""One MQTT session, sans-I/O: bytes of the broker in, events out, bytes for the broker out.

The rules:

- QoS 0 and 1 are coded here (:mod:`flowbus_mqtt.protocol`); CONNECT, SUBSCRIBE, QoS 2 and what
  else there is goes through paho;
- packet identifiers come from one counter for both, and none is used twice at a time;
- an engine serves one connection and keeps nothing for the next: what is in :attr:`Engine.unacked`
  when it ends is lost, and its owner has to tell whoever published it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from flowbus_mqtt.paho import PahoClient
from flowbus_mqtt.protocol.decoder import Decoder
from flowbus_mqtt.protocol.encoder import PublishEncoder, encode_ack
from flowbus_mqtt.protocol.errors import PROTOCOL_ERROR, ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet, Puback, Publish, Version
from flowbus_mqtt.protocol.properties import decode_properties
from flowbus_mqtt.protocol.varint import decode_varint
from flowbus_mqtt.settings import Limits, Settings

PINGREQ: Final = b"\xc0\x00"
_LAST_ID: Final = 65_535


class Connected(msgspec.Struct, frozen=True):
    """CONNACK accepted the session."""

    limits: Limits


class Refused(msgspec.Struct, frozen=True):
    """CONNACK refused it: ``reason`` as 5.0 has it, ``code`` as it came, ``text`` of the broker."""

    reason: int
    code: int
    text: str = ""


class Granted(msgspec.Struct, frozen=True):
    """SUBACK: a code of 0x80 and above refuses the filter in its place."""

    packet_id: int
    codes: tuple[int, ...]


class Dismissed(msgspec.Struct, frozen=True):
    """The broker ended the session with a DISCONNECT (5.0 only)."""

    reason: int
    text: str = ""


Event = Publish | Puback | Connected | Refused | Granted | Dismissed | ProtocolError


class NoPacketIdError(RuntimeError):
    """All packet identifiers are in use; the window of the publisher is there to prevent it."""


class Engine:
    """The protocol of one connection to a broker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.unacked: dict[int, Any] = {}
        """Packet identifiers of what was published and not acknowledged, with the caller's token."""
        self._v5 = settings.version == Version.V5
        self._decoder = Decoder(settings.version, settings.max_packet_size)
        self._encoder = PublishEncoder(settings.version)
        self._last_id = 0
        self._control_ids: set[int] = set()
        self._qos2_properties: dict[int, bytes] = {}
        self._events: list[Event] = []
        self._connack_seen = False
        self._stirred = False
        self._paho = PahoClient(settings, self._next_control_id)
        self._paho.on_message = self._on_message
        self._paho.on_subscribe = self._on_suback
        self._paho.on_disconnect = self._on_disconnect
        self._paho.acked = self._on_acked

    # ---- out

    def connect(self) -> bytes:
        """Return the CONNECT packet."""
        self._paho.open(self.settings)
        return self._paho.output()

    def publish(
        self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, token: Any = None
    ) -> bytes:
        """Return the PUBLISH packet; for QoS 1 and 2 ``token`` waits in ``unacked`` for its end.

        Raises TopicError for a bad topic and ValueError for too large a payload.
        """
        if qos == 0:
            return self._encoder.encode(topic, payload, 0, retain)
        if qos == 2:
            self._encoder.encode(topic, b"")  # raises where paho does not
            info = self._paho.publish(topic, payload, 2, retain)
            self.unacked[info.mid] = token
            return self._paho.output()
        packet_id = self._next_id()
        data = self._encoder.encode(topic, payload, 1, retain, packet_id)
        self.unacked[packet_id] = token
        return data

    def acknowledge(self, publish: Publish, reason: int = 0) -> bytes:
        """Return the packet that ends a received message; ``reason`` counts in 5.0 and QoS 1 only."""
        if publish.qos == 1:
            return encode_ack(_PUBACK, publish.packet_id, reason if self._v5 else 0)
        self._paho.ack(publish.packet_id, publish.qos)
        return self._paho.output()

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> tuple[int, bytes]:
        """Return the packet identifier and the SUBSCRIBE packet for checked filters with their QoS."""
        _, packet_id = self._paho.subscribe(list(filters))
        if packet_id is None:
            raise RuntimeError("subscribe() before connect(), or after the connection ended")
        return packet_id, self._paho.output()

    def disconnect(self, reason: int = 0) -> bytes:
        """Return a DISCONNECT packet; ``reason`` counts in 5.0 only."""
        code = None
        if self._v5 and reason:
            code = ReasonCode(PacketTypes.DISCONNECT, identifier=reason)
        self._paho.disconnect(code)
        return self._paho.output()

    def answers(self) -> bytes:
        """Return what the protocol has to answer by itself (PUBREC, PUBREL)."""
        if not self._stirred:
            return b""
        self._stirred = False
        return self._paho.output()

    # ---- in

    def receive(self, data: bytes) -> list[Event]:
        """Return what ``data`` brings; a ProtocolError is the last event of the connection."""
        events: list[Event] = []
        for event in self._decoder.feed(data):
            if type(event) is Packet:
                events += self._control(event)
            elif type(event) is Publish and event.qos == 2:
                events += self._through_paho(self._again(event))
            else:
                events.append(event)  # type: ignore[arg-type]  # a Packet was the first case
        return events

    def _again(self, publish: Publish) -> bytes:
        # The properties are kept from paho, which refuses some that are right; see _on_message.
        self._qos2_properties[publish.packet_id] = publish.properties
        return self._encoder.encode(
            publish.topic, publish.payload, 2, publish.retain, publish.packet_id, publish.dup
        )

    def _control(self, packet: Packet) -> list[Event]:
        kind = packet.kind
        if kind == Kind.CONNACK:
            return self._connack(packet.body)
        if not self._connack_seen:
            text = f"the first packet is of type {kind >> 4}, not CONNACK"
            return [ProtocolError(text, PROTOCOL_ERROR)]
        if kind == Kind.PINGRESP:
            return []
        return self._through_paho(packet.encode())

    def _through_paho(self, data: bytes) -> list[Event]:
        self._stirred = True
        understood = self._paho.handle(data)
        events, self._events = self._events, []
        if not understood and not any(type(event) is Dismissed for event in events):
            text = f"the broker sent a packet of type {data[0] >> 4} that is malformed"
            events.append(ProtocolError(text))
        return events

    # ---- CONNACK

    def _connack(self, body: bytes) -> list[Event]:
        """Read it here: paho knows no limits, hides some refusals, and stumbles over large limits."""
        if self._connack_seen or len(body) < 2:
            return [ProtocolError("a CONNACK packet is too short or comes twice", PROTOCOL_ERROR)]
        self._connack_seen = True
        session_present, code = body[0] & 1 == 1, body[1]
        try:
            said = self._properties(body[2:])
        except ProtocolError as error:
            return [error]
        if code:
            return [Refused(reason_of(code), code, said.get("reason_string", ""))]
        plain = bytes((_CONNACK, 3, session_present, 0, 0))
        if not self._v5:
            plain = bytes((_CONNACK, 2, session_present, 0))
        failed = self._through_paho(plain)
        return failed or [Connected(self._limits(session_present, said))]

    def _properties(self, block: bytes) -> dict[str, Any]:
        if not self._v5 or not block:  # a 3.1.1 broker refuses a 5.0 client without properties
            return {}
        length, start = decode_varint(block, 0, len(block))
        return decode_properties(block[start : start + length])

    def _limits(self, session_present: bool, said: dict[str, Any]) -> Limits:
        return Limits(
            keepalive=said.get("server_keep_alive", self.settings.keepalive),
            client_id=said.get("assigned_client_identifier", self.settings.client_id),
            session_present=session_present,
            receive_maximum=said.get("receive_maximum", _LAST_ID),
            max_packet_size=said.get("maximum_packet_size", 268_435_460),
            topic_alias_maximum=said.get("topic_alias_maximum", 0),
            maximum_qos=said.get("maximum_qos", 2),
            retain_available=bool(said.get("retain_available", 1)),
        )

    # ---- paho's callbacks; they run inside PahoClient.handle

    def _on_suback(self, _client: Any, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        self._control_ids.discard(mid)
        self._events.append(Granted(mid, tuple(reason.value for reason in reasons)))

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        properties = self._qos2_properties.pop(message.mid, b"")
        self._events.append(
            Publish(
                message.topic, bytes(message.payload), message.qos, message.mid,
                message.retain, message.dup, properties,
            )
        )  # fmt: skip

    def _on_acked(self, mid: int, reason: int) -> None:
        self._control_ids.discard(mid)
        self._events.append(Puback(mid, reason))

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            text = getattr(properties, "ReasonString", "")
            self._events.append(Dismissed(reason.value, text))

    # ---- packet identifiers

    def _next_id(self) -> int:
        used, control = self.unacked, self._control_ids
        packet_id = self._last_id
        for _ in range(_LAST_ID):
            packet_id = packet_id + 1 if packet_id < _LAST_ID else 1
            if packet_id not in used and packet_id not in control:
                self._last_id = packet_id
                return packet_id
        raise NoPacketIdError("every packet identifier is in use")

    def _next_control_id(self) -> int:
        packet_id = self._next_id()
        self._control_ids.add(packet_id)
        return packet_id


_PUBACK: Final = int(Kind.PUBACK)
_CONNACK: Final = int(Kind.CONNACK)
_RETURN_CODES: Final = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


def reason_of(code: int) -> int:
    """Return the 5.0 reason code that means what a CONNACK code of 3.1.1 means (section 3.2.2.3)."""
    return _RETURN_CODES.get(code, code if code >= 0x80 else 0x80)
