"""What a message of a flow becomes on a WebSocket."""

from __future__ import annotations

import msgspec

from flowbus import Message, Rejected
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.encoder import MAX_CONTROL, FrameEncoder

KINDS = ("text", "binary", "ping", "pong")


def frames_of(message: Message, encoder: FrameEncoder) -> bytes:
    """Return the frames for one message.

    A str goes as text, bytes as binary, anything else as JSON text; ``headers.content_type``
    ("text", "binary", "ping", "pong") overrides. Rejected where the payload has no such form.
    """
    payload = message.payload
    kind = message.headers.get("content_type")
    if kind is None:
        return encoder.message(as_content(payload))
    if kind not in KINDS:
        text = f"headers.content_type is {kind!r}, not one of {', '.join(KINDS)}"
        raise Rejected(named("bad_payload"), text)
    content = as_content(payload)
    if kind == "text":
        return encoder.message(_as_text(content))
    data = content.encode() if isinstance(content, str) else content
    if kind == "binary":
        return encoder.message(data)
    if len(data) > MAX_CONTROL:
        raise Rejected(named("bad_payload"), f"a {kind} carries at most {MAX_CONTROL} bytes")
    return encoder.ping(data) if kind == "ping" else encoder.pong(data)


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


def _as_text(content: str | bytes) -> str:
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
