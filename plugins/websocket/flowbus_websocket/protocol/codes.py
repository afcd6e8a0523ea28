"""Close codes: which may be on the wire, and the reason that each stands for.

Source: RFC 6455, section 7.4, and the IANA registry of WebSocket close codes.
"""

from __future__ import annotations

from typing import Final

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

REASONS: Final = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1004: "reserved",
    1005: "no status received",
    1006: "abnormal closure",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake",
}

_SENDABLE: Final = frozenset({*range(1000, 1004), *range(1007, 1015)})


def sendable(code: int) -> bool:
    """Tell whether ``code`` may be in a Close frame; 1004 to 1006 and 1015 never are."""
    return code in _SENDABLE or 3000 <= code <= 4999


def reason_of(code: int) -> str:
    """Return the registered reason, or what the range of the code is meant for."""
    if code in REASONS:
        return REASONS[code]
    if 3000 <= code <= 3999:
        return "code of a library or framework"
    if 4000 <= code <= 4999:
        return "code of the application"
    return "unknown code"
