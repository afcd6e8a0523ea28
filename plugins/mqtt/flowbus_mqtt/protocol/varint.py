"""Variable byte integers (MQTT 5.0, section 1.5.5): 1 to 4 bytes of 7 bits, low bits first."""

from __future__ import annotations

from typing import Final

from flowbus_mqtt.protocol.errors import ProtocolError

MAX: Final = 268_435_455


def encode_varint(value: int) -> bytes:
    """Encode 0 to 268,435,455; ValueError outside."""
    if 0 <= value < 128:
        return bytes((value,))
    if 0 < value < 16_384:
        return bytes((value & 127 | 128, value >> 7))
    if not 0 <= value <= MAX:
        raise ValueError(f"{value} does not fit a variable byte integer (0 to {MAX})")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """Return the value at ``pos`` and where the next field begins; nothing past ``end`` is read."""
    value = shift = 0
    for at in range(pos, min(pos + 4, end)):
        byte = data[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
    if end - pos < 4:
        raise ProtocolError("a length field is cut off at the end of its packet")
    raise ProtocolError("a length field is longer than 4 bytes")
