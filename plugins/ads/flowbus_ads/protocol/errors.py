"""What the protocol layer raises."""

from __future__ import annotations


class ProtocolError(ValueError):
    """Bytes that are not AMS/ADS. The stream cannot be resynchronised: close the connection."""


class EncodeError(ValueError):
    """A value that does not fit the type of its symbol; nothing was sent."""


class DecodeError(ValueError):
    """Bytes from the PLC that do not fit the type of their symbol."""


class UnsupportedTypeError(ValueError):
    """A PLC type that has no codec, such as a structure."""
