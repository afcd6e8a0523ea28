"""How an open connection ends, as an exception with its fault."""

from __future__ import annotations

from typing import Final

from flowbus import Fault, Lost
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.protocol.codes import ABNORMAL, PROTOCOL_ERROR, TOO_BIG, reason_of
from flowbus_websocket.protocol.decoder import Ended

_VIOLATIONS: Final = {
    PROTOCOL_ERROR: named("protocol_error"),
    TOO_BIG: named("message_too_big"),
}


class ConnectionEnded(Lost):
    """The WebSocket is closed; ``code`` is the close code, 1006 where there was none.

    ``reason`` is that of the Close frame, or what happened where there was none.
    """

    def __init__(self, fault: Fault, text: str, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(fault, text)
        self.code = code
        self.reason = reason


def ended_by(end: Ended) -> ConnectionEnded:
    """Return the exception for a Close frame of the peer, or for what it sent against the rules."""
    said = f"{end.code} {end.reason or reason_of(end.code)}"
    if end.by_peer:
        fault, text = closed_with(end.code), f"the peer closed the connection: {said}"
    else:
        fault = named(end.why) if end.why else _VIOLATIONS.get(end.code, closed_with(end.code))
        text = f"closed for what the peer sent: {said}"
    return ConnectionEnded(fault, text, end.code, end.reason)


def hung_up() -> ConnectionEnded:
    """Return the exception for an end of the stream without a Close frame."""
    text = "the peer hung up without a Close frame"
    return ConnectionEnded(closed_with(ABNORMAL), text, reason=text)


def lost(error: BaseException) -> ConnectionEnded:
    """Return the exception for a stream that broke."""
    cause = error.__cause__
    if isinstance(cause, Lost):
        return ConnectionEnded(cause.fault, cause.text, reason=cause.text)
    text = f"the connection broke off: {cause}" if cause else "the connection broke off"
    return ConnectionEnded(named("connection_lost"), text, reason=text)
