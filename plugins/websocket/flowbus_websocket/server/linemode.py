"""Line mode: what a client sends is a stream of lines, whatever messages it comes in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowbus import Message
from flowbus_websocket.protocol.lines import Line, LineCutter


class LineMode:
    """Makes messages of lines out of the messages of one client; ``headers`` are those of all."""

    def __init__(self, max_line: int, headers: dict[str, Any]) -> None:
        self.max_line = max_line
        self._cutter = LineCutter(max_line)
        self._headers = {
            (kind, eol): {**headers, "content_type": name, "eol": eol}
            for kind, name in ((str, "text"), (bytes, "binary"))
            for eol in (True, False)
        }

    def messages(self, received: Iterable[Message]) -> list[Message]:
        """Return a message for each line that is complete now."""
        return [self._message(line) for m in received for line in self._cutter.feed(m.payload)]

    def end(self) -> list[Message]:
        """Return what has no end yet, as a message with ``headers.eol`` false."""
        return [self._message(line) for line in self._cutter.end()]

    def _message(self, line: Line) -> Message:
        return Message(line.content, headers=self._headers[type(line.content), line.eol])
