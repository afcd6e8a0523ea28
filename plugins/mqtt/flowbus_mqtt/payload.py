"""Payloads and headers: between the values of a flow and the bytes of MQTT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from flowbus import Rejected
from flowbus_mqtt import faults
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.packets import Publish
from flowbus_mqtt.protocol.properties import decode_properties

Decode = Callable[[bytes], Any] | None

_BINARY: Final = (bytes, bytearray, memoryview)
_SHOWN: Final = ("content_type", "response_topic", "correlation_data", "message_expiry_interval")


def encode_payload(payload: Any) -> bytes:
    """Bytes as they are, a text as UTF-8, anything else as JSON; Rejected where that is impossible."""
    if type(payload) is bytes:
        return payload
    try:
        if isinstance(payload, str):
            return payload.encode()
        if isinstance(payload, _BINARY):
            return bytes(payload)
        return orjson.dumps(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise Rejected(faults.BAD_PAYLOAD, f"{type(payload).__name__}: {error}") from None


def decoder_for(payload_format: str) -> Decode:
    """Return what makes a payload of ``bytes`` (None: nothing to do), ``text`` or ``json``.

    The decoder raises ValueError.
    """
    if payload_format == "text":
        return bytes.decode
    return orjson.loads if payload_format == "json" else None


_PLAIN: Final[Mapping[tuple[int, bool], Mapping[str, Any]]] = {
    (qos, retain): {"qos": qos, "retain": retain}
    for qos in (0, 1, 2)
    for retain in (False, True)
}


def headers_of(publish: Publish) -> Mapping[str, Any]:
    """``qos`` and ``retain``; where 5.0 properties came, also ``user`` and the others by name."""
    plain = _PLAIN[publish.qos, publish.retain]
    if not publish.properties:
        return plain
    try:
        properties = decode_properties(publish.properties)
    except ProtocolError as error:
        return {**plain, "properties_error": error.text}
    headers: dict[str, Any] = dict(plain)
    headers.update((name, properties[name]) for name in _SHOWN if name in properties)
    if "user_property" in properties:
        headers["user"] = dict(properties["user_property"])
    return headers
