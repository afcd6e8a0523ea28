"""What one MQTT session needs to know, decided before it is opened."""

from __future__ import annotations

import msgspec

from flowbus_mqtt.protocol.packets import Version


class LastWill(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker publishes when the session ends without a word."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One session; ``keepalive`` and ``session_expiry`` in seconds, ``max_packet_size`` in bytes."""

    client_id: str
    version: Version = Version.V5
    username: str | None = None
    password: str | None = None
    keepalive: int = 30
    clean_start: bool = True
    session_expiry: int = 0
    receive_maximum: int = 100
    max_packet_size: int = 16 << 20
    will: LastWill | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker allows, from its CONNACK (MQTT 5.0, section 3.2.2.3); 3.1.1 knows no limits."""

    keepalive: int
    client_id: str
    session_present: bool = False
    receive_maximum: int = 65_535
    max_packet_size: int = 268_435_460
    topic_alias_maximum: int = 0
    maximum_qos: int = 2
    retain_available: bool = True
