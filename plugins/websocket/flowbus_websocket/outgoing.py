"""A message of a flow on its way out: what it is on a WebSocket, and its frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbus import Message, Rejected
from flowbus_websocket.faults import named
from flowbus_websocket.payload import as_content, as_text
from flowbus_websocket.protocol.encoder import MAX_CONTROL, FrameEncoder, OutOfOrder

KINDS = ("text", "binary", "ping", "pong")


class Outgoing:
    """One message for one or several peers; Rejected where it has no form on a WebSocket.

    A str goes as text, bytes as binary, anything else as JSON text; ``headers.content_type``
    ("text", "binary", "ping", "pong") overrides. ``headers.compress`` says whether to compress it
    where the peer agreed to that. ``headers.final`` false makes it a fragment: the next ones go on
    with the same message until one is final.
    """

    def __init__(self, message: Message) -> None:
        headers = message.headers
        self._kind = headers.get("content_type")
        self._final = _switch(headers, "final")
        self._compress = _switch(headers, "compress")
        self._content = _as_kind(as_content(message.payload), self._kind)
        self._shared: dict[int, bytes] = {}
        #: Bytes of the payload, before it is compressed.
        self.size = _size(self._content)

    def frames(self, encoder: FrameEncoder) -> bytes:
        """Return the frames for one peer; they must be sent in the order of the calls.

        They are built once for all peers that get the same. Rejected where a fragment does not go
        with those that this peer got before.
        """
        sharing = self._sharing(encoder)
        if sharing is None:
            return self._build(encoder)
        if sharing not in self._shared:
            self._shared[sharing] = self._build(encoder)
        return self._shared[sharing]

    def is_part(self, encoder: FrameEncoder) -> bool:
        """Tell whether it is one of several fragments of a message."""
        return self._final is False or (self._final is True and encoder.in_message)

    def _sharing(self, encoder: FrameEncoder) -> int | None:
        """Return a number that peers who get the same frames have in common, None for no others."""
        if encoder.masked or encoder.in_message or self._final is False:
            return None
        if self._kind in ("ping", "pong") or not encoder.compresses(self.size, self._compress):
            return 0
        deflater = encoder.deflater
        return None if deflater is None or deflater.takeover else deflater.window_bits

    def _build(self, encoder: FrameEncoder) -> bytes:
        if self._kind == "ping" or self._kind == "pong":
            assert isinstance(self._content, bytes)
            build = encoder.ping if self._kind == "ping" else encoder.pong
            return build(self._content)
        try:
            if self._final is None or (self._final and not encoder.in_message):
                return encoder.message(self._content, self._compress)
            return encoder.fragment(self._content, final=self._final, compress=self._compress)
        except OutOfOrder as error:
            raise Rejected(named("out_of_order"), str(error)) from None


def frames_of(message: Message, encoder: FrameEncoder) -> bytes:
    """Return the frames of a message for one peer; see :class:`Outgoing`."""
    if not message.headers and not encoder.in_message:
        return encoder.message(as_content(message.payload))
    return Outgoing(message).frames(encoder)


def _switch(headers: Mapping[str, Any], name: str) -> bool | None:
    value = headers.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise Rejected(named("bad_payload"), f"headers.{name} is {value!r}, neither true nor false")


def _as_kind(content: str | bytes, kind: object) -> str | bytes:
    if kind is None:
        return content
    if kind == "text":
        return as_text(content)
    if kind not in KINDS:
        text = f"headers.content_type is {kind!r}, not one of {', '.join(KINDS)}"
        raise Rejected(named("bad_payload"), text)
    data = content.encode() if isinstance(content, str) else content
    if kind != "binary" and len(data) > MAX_CONTROL:
        raise Rejected(named("bad_payload"), f"a {kind} carries at most {MAX_CONTROL} bytes")
    return data


def _size(content: str | bytes) -> int:
    if isinstance(content, bytes) or content.isascii():
        return len(content)
    return len(content.encode())
