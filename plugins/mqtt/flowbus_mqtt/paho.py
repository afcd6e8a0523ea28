"""paho-mqtt 2.2 without its threads and sockets: the control plane of a session.

paho is meant to own a socket. Three overrides of private methods make it work on two byte buffers
and mend what it gets wrong; :data:`PRIVATE_MEMBERS` names every private member that this module
relies on, and a test of the plugin checks each against the installed release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from paho.mqtt import _packet
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from flowbus_mqtt.memorysocket import MemorySocket
from flowbus_mqtt.protocol.packets import Version
from flowbus_mqtt.settings import Settings

PRIVATE_MEMBERS: Final = (
    "_create_socket", "_mid_generate", "_handle_pubrec", "_do_on_publish", "_in_packet",
    "_out_messages", "_protocol", "_sock",
)  # fmt: skip

Acked = Callable[[int, int], None]


class PahoClient(Client):
    """paho's client over a :class:`MemorySocket`."""

    def __init__(self, settings: Settings, next_id: Callable[[], int]) -> None:
        """``next_id`` gives packet identifiers: paho's own would clash with those of the data path."""
        self._next_id = next_id
        self.memory = MemorySocket()
        self.acked: Acked | None = None
        v5 = settings.version == Version.V5
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if v5 else settings.clean_start,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        # paho ignores the broker's Receive Maximum; the window around this class respects it.
        self.max_inflight_messages_set(0)
        self.on_socket_register_write = _ignore
        if settings.username is not None:
            self.username_pw_set(settings.username, settings.password)
        if settings.will is not None:
            will = settings.will
            self.will_set(will.topic, will.payload, will.qos, will.retain)

    def open(self, settings: Settings) -> None:
        """Put CONNECT on the memory socket. The address is none: nobody dials here."""
        if settings.version != Version.V5:
            self.connect("memory", 1, settings.keepalive)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if settings.session_expiry:
            properties.SessionExpiryInterval = settings.session_expiry
        properties.ReceiveMaximum = settings.receive_maximum
        properties.MaximumPacketSize = settings.max_packet_size
        self.connect(
            "memory", 1, settings.keepalive,
            clean_start=settings.clean_start, properties=properties,
        )  # fmt: skip

    def handle(self, data: bytes) -> bool:
        """Have paho work on whole packets; False where it did not understand one."""
        self.memory.feed(data)
        while self.memory.pending:
            if self._sock is None or self.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
        return True

    def output(self) -> bytes:
        """Return what paho wants to send."""
        self.loop_write()
        return self.memory.collect()

    def _create_socket(self) -> MemorySocket:
        return self.memory

    def _mid_generate(self) -> int:
        return self._next_id()

    def _do_on_publish(self, mid: int, reason_code: ReasonCode, properties: Properties) -> MQTTErrorCode:
        result = super()._do_on_publish(mid, reason_code, properties)
        if self.acked is not None:
            self.acked(mid, reason_code.value)
        return result

    def _handle_pubrec(self) -> MQTTErrorCode:
        """End the exchange where PUBREC refuses it; paho would go on and report success."""
        packet = self._in_packet
        pubrec = _packet.decode_pubrec(packet["command"], packet["packet"], self._protocol)
        if pubrec.reason.value >= 0x80 and pubrec.mid in self._out_messages:
            return self._do_on_publish(pubrec.mid, pubrec.reason, pubrec.properties)
        return super()._handle_pubrec()


def _ignore(*_: Any) -> None:
    """Keep paho from writing at once; :meth:`PahoClient.output` writes."""
