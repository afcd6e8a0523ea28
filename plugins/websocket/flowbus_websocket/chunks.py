"""What a client sends in one go: the frames of many messages, and which messages those are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowbus import Delivery, Message, Rejected
from flowbus_websocket.command import is_command
from flowbus_websocket.faults import named
from flowbus_websocket.outgoing import frames_of
from flowbus_websocket.protocol.encoder import FrameEncoder

SIZE: Final = 65536  # bytes; messages are confirmed in groups of about this size


class Chunks:
    """Puts messages into chunks for one connection.

    ``torn`` says that the connection before was lost between the fragments of a message. Its last
    ones would be another message on this connection, so they are rejected.
    """

    def __init__(self, encoder: FrameEncoder, *, torn: bool) -> None:
        self._encoder = encoder
        self._torn = torn

    @property
    def torn(self) -> bool:
        """Whether a connection that ends now ends between the fragments of a message."""
        return self._torn or self._encoder.in_message

    def of(
        self, deliveries: Iterator[Delivery]
    ) -> Iterator[tuple[bytes, list[Delivery]] | Delivery]:
        """Yield the frames of many messages in chunks, each with the messages that are in it.

        A command is yielded by itself, in its place between them.
        """
        frames: list[bytes] = []
        size = 0
        chunk: list[Delivery] = []
        for delivery in deliveries:
            message = delivery.message
            if message.headers and is_command(message):
                if frames:
                    yield b"".join(frames), chunk
                    frames, chunk, size = [], [], 0
                yield delivery
                continue
            try:
                if self._torn:
                    self._refuse_rest(message)
                frames.append(frames_of(message, self._encoder))
            except Rejected as refusal:
                delivery.reject(refusal.fault, refusal.text)
                continue
            chunk.append(delivery)
            size += len(frames[-1])
            if size >= SIZE:
                yield b"".join(frames), chunk
                frames, chunk, size = [], [], 0
        if frames:
            yield b"".join(frames), chunk

    def _refuse_rest(self, message: Message) -> None:
        final = message.headers.get("final")
        if final is None:
            return
        self._torn = final is not True
        text = "the connection was lost after the fragments before this one; send the message again"
        raise Rejected(named("out_of_order"), text)
