"""What is wrong with a packet that a peer sent."""

from __future__ import annotations

from typing import Final

MALFORMED: Final = 0x81
PROTOCOL_ERROR: Final = 0x82
PACKET_TOO_LARGE: Final = 0x95
TOPIC_ALIAS_INVALID: Final = 0x94


class ProtocolError(Exception):
    """A peer broke the protocol; the connection cannot go on.

    ``reason`` is the reason code that MQTT 5.0 (section 2.4) has for it, for either version.
    """

    def __init__(self, text: str, reason: int = MALFORMED) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
