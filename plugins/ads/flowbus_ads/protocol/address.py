"""AMS addresses: a NetId of six bytes and a port, eight bytes on the wire.

Source: ADS Specification, "AMS Header".
"""

from __future__ import annotations

from struct import Struct

_PORT = Struct("<H")


def parse_net_id(text: str) -> bytes:
    """Return the six bytes of ``"192.168.0.10.1.1"``. Raises ValueError with the reason."""
    parts = text.split(".")
    if len(parts) != 6 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is no AMS NetId: write six numbers, such as 192.168.0.10.1.1")
    numbers = [int(part) for part in parts]
    if max(numbers) > 255:
        raise ValueError(f"{text!r} is no AMS NetId: each of the six numbers is at most 255")
    return bytes(numbers)


def format_net_id(net_id: bytes) -> str:
    """Return the dotted form of six bytes."""
    return ".".join(map(str, net_id[:6]))


def ams_address(net_id: bytes, port: int) -> bytes:
    """Return the eight bytes of an AMS address."""
    return net_id + _PORT.pack(port)


def ams_port(address: bytes) -> int:
    """Return the port of an eight-byte AMS address."""
    return int(_PORT.unpack_from(address, 6)[0])


def format_address(address: bytes) -> str:
    """Return ``net_id:port`` for an eight-byte AMS address."""
    return f"{format_net_id(address)}:{ams_port(address)}"
