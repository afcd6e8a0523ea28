"""Properties of MQTT 5.0 (section 2.2.2): read when somebody looks at them, written when given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flowbus_mqtt.protocol.errors import PROTOCOL_ERROR, ProtocolError
from flowbus_mqtt.protocol.varint import decode_varint, encode_varint

Reader = Callable[[bytes, int, int], tuple[Any, int]]
Writer = Callable[[Any], bytes]


def _cut(data: bytes, at: int, end: int, length: int) -> int:
    if at + length > end:
        raise ProtocolError("a property is cut off at the end of its packet")
    return at + length


def _number(width: int) -> tuple[Reader, Writer]:
    def read(data: bytes, at: int, end: int) -> tuple[int, int]:
        after = _cut(data, at, end, width)
        return int.from_bytes(data[at:after], "big"), after

    def write(value: int) -> bytes:
        return value.to_bytes(width, "big")

    return read, write


def _read_binary(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    start = _cut(data, at, end, 2)
    after = _cut(data, start, end, data[at] << 8 | data[at + 1])
    return data[start:after], after


def _write_binary(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _read_text(data: bytes, at: int, end: int) -> tuple[str, int]:
    raw, after = _read_binary(data, at, end)
    try:
        return raw.decode(), after
    except UnicodeDecodeError:
        raise ProtocolError("a text property is not UTF-8") from None


def _write_text(value: str) -> bytes:
    return _write_binary(value.encode())


def _read_pair(data: bytes, at: int, end: int) -> tuple[tuple[str, str], int]:
    name, at = _read_text(data, at, end)
    value, at = _read_text(data, at, end)
    return (name, value), at


def _write_pair(value: tuple[str, str]) -> bytes:
    return _write_text(value[0]) + _write_text(value[1])


_BYTE, _TWO, _FOUR = _number(1), _number(2), _number(4)
_TEXT: tuple[Reader, Writer] = (_read_text, _write_text)
_BINARY: tuple[Reader, Writer] = (_read_binary, _write_binary)
_PAIR: tuple[Reader, Writer] = (_read_pair, _write_pair)
_VARINT: tuple[Reader, Writer] = (decode_varint, encode_varint)

_TABLE: Final[dict[int, tuple[str, tuple[Reader, Writer]]]] = {
    0x01: ("payload_format_indicator", _BYTE),
    0x02: ("message_expiry_interval", _FOUR),
    0x03: ("content_type", _TEXT),
    0x08: ("response_topic", _TEXT),
    0x09: ("correlation_data", _BINARY),
    0x0B: ("subscription_identifier", _VARINT),
    0x11: ("session_expiry_interval", _FOUR),
    0x12: ("assigned_client_identifier", _TEXT),
    0x13: ("server_keep_alive", _TWO),
    0x15: ("authentication_method", _TEXT),
    0x16: ("authentication_data", _BINARY),
    0x17: ("request_problem_information", _BYTE),
    0x18: ("will_delay_interval", _FOUR),
    0x19: ("request_response_information", _BYTE),
    0x1A: ("response_information", _TEXT),
    0x1C: ("server_reference", _TEXT),
    0x1F: ("reason_string", _TEXT),
    0x21: ("receive_maximum", _TWO),
    0x22: ("topic_alias_maximum", _TWO),
    0x23: ("topic_alias", _TWO),
    0x24: ("maximum_qos", _BYTE),
    0x25: ("retain_available", _BYTE),
    0x26: ("user_property", _PAIR),
    0x27: ("maximum_packet_size", _FOUR),
    0x28: ("wildcard_subscription_available", _BYTE),
    0x29: ("subscription_identifier_available", _BYTE),
    0x2A: ("shared_subscription_available", _BYTE),
}
_MANY: Final = frozenset(("user_property", "subscription_identifier"))
_NUMBERS: Final = {name: number for number, (name, _) in _TABLE.items()}


def decode_properties(block: bytes) -> dict[str, Any]:
    """Read a property block without its length.

    ``user_property`` is a list of (name, value) and ``subscription_identifier`` a list of numbers;
    any other property may stand once and is a number, a text or bytes.
    """
    found: dict[str, Any] = {}
    at, end = 0, len(block)
    while at < end:
        number, at = decode_varint(block, at, end)
        entry = _TABLE.get(number)
        if entry is None:
            raise ProtocolError(f"property 0x{number:02x} does not exist")
        name, (read, _) = entry
        value, at = read(block, at, end)
        if name in _MANY:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ProtocolError(f"property {name} is given twice", PROTOCOL_ERROR)
        else:
            found[name] = value
    return found


def encode_properties(properties: Mapping[str, Any]) -> bytes:
    """Write a property block without its length, from what :func:`decode_properties` returns."""
    out = bytearray()
    for name, value in properties.items():
        number = _NUMBERS.get(name)
        if number is None:
            raise ValueError(f"MQTT has no property {name!r}")
        write = _TABLE[number][1][1]
        for item in value if name in _MANY else (value,):
            out.append(number)
            out += write(item)
    return bytes(out)
