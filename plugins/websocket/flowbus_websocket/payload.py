"""What a payload of a flow becomes on a WebSocket."""

from __future__ import annotations

import msgspec

from flowbus import Rejected
from flowbus_websocket.faults import named


def as_content(payload: object) -> str | bytes:
    """Return text or bytes for a payload of any kind."""
    if isinstance(payload, str):
        if payload.isascii() or _is_unicode(payload):
            return payload
        raise Rejected(
            named("bad_payload"), "the text has half a surrogate pair, no UTF-8 has that"
        )
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    try:
        return msgspec.json.encode(payload).decode()
    except (TypeError, ValueError, RecursionError) as error:
        text = f"{type(payload).__name__} has no form in JSON: {error}"
        raise Rejected(named("bad_payload"), text) from None


def as_text(content: str | bytes) -> str:
    """Return text for content of either kind; Rejected where bytes are not UTF-8."""
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        text = f'the bytes are no UTF-8 text ({error.reason}); send them as "binary"'
        raise Rejected(named("bad_payload"), text) from None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
