"""What has been received, as messages of a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbus import Message
from flowbus_websocket.protocol.assembly import Fragment, Item


class Incoming:
    """Makes messages of one peer; ``headers`` are those that each of them has.

    To them come ``content_type`` and, where ``fragments`` are delivered, ``final``.
    """

    def __init__(self, headers: Mapping[str, Any], *, fragments: bool) -> None:
        final = {"final": True} if fragments else {}
        # Shared by all messages, hence never changed.
        self._text = {**headers, "content_type": "text", **final}
        self._binary = {**headers, "content_type": "binary", **final}
        self._fragments = fragments

    def messages(self, items: Sequence[Item]) -> list[Message]:
        """Return one message for each item."""
        if self._fragments:
            return [self._message(item) for item in items]
        text, binary = self._text, self._binary
        return [Message(item, "", text if type(item) is str else binary) for item in items]

    def _message(self, item: Item) -> Message:
        payload, final = item if isinstance(item, Fragment) else (item, True)
        headers = self._text if isinstance(payload, str) else self._binary
        return Message(payload, "", headers if final else {**headers, "final": False})
