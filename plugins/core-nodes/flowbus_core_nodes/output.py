"""Lines of text for a person: how a message looks, how many a second, and where they go."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import orjson

from flowbus import Message


class Budget:
    """How many lines may be printed: ``limit`` in each second, None for any number."""

    def __init__(self, limit: int | None) -> None:
        self.suppressed = 0  # in all
        self.untold = 0  # of them, how many nobody has been told of
        self.ends = 0.0  # when the running second is over
        self._limit = limit
        self._left = 0

    def grant(self, wanted: int, now: float) -> tuple[int, int]:
        """Return how many were suppressed in the second before, and how many lines may be printed."""
        if self._limit is None:
            return 0, wanted
        untold = 0
        if now >= self.ends:
            untold, self.untold = self.untold, 0
            self.ends, self._left = now + 1.0, self._limit
        granted = min(wanted, self._left)
        self._left -= granted
        self.suppressed += wanted - granted
        self.untold += wanted - granted
        return untold, granted


def line(name: str, message: Message, whole: bool, max_chars: int) -> str:
    """Return the line for a message: local time, node, topic and payload, or the whole of it."""
    seconds, rest = divmod(message.time, 1_000_000_000)
    clock = time.strftime("%H:%M:%S", time.localtime(seconds))
    head = f"{clock}.{rest // 1_000_000:03} {name}"
    if whole:
        text = f"{head} {shown(everything(message))}"
    else:
        text = (
            f"{head} {message.topic} {shown(message.payload)}"
            if message.topic
            else f"{head} {shown(message.payload)}"
        )
    if len(text) > max_chars:
        text = f"{text[: max_chars - 1]}…"
    return text if text.isprintable() else escaped(text)


def everything(message: Message) -> dict[str, Any]:
    """Return all fields of a message as an object."""
    return {
        "id": message.id,
        "time": message.time,
        "topic": message.topic,
        "headers": dict(message.headers),
        "quality": message.quality.value,
        "payload": message.payload,
    }


def shown(value: Any) -> str:
    """Return ``value`` as JSON where it has such a form, parts that have none as Python writes them."""
    try:
        text = orjson.dumps(value, repr, orjson.OPT_NON_STR_KEYS)
        if b"null" not in text:
            return text.decode()
        # orjson writes NaN as null; here a person must see which it is.
        return json.dumps(value, default=repr, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return one_of_a_kind(value)


def one_of_a_kind(value: Any) -> str:
    """Return what Python says of a value that no JSON can show."""
    try:
        return repr(value)
    except RecursionError:
        return f"<{type(value).__name__}, nested too deeply>"


def escaped(text: str) -> str:
    """Return ``text`` with what would move the cursor or begin a line written out."""
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)


def write(stream_name: str, text: str) -> None:
    """Write to ``stderr`` or ``stdout``; raises OSError or ValueError where that is not possible."""
    stream = getattr(sys, stream_name)
    if stream is None:
        raise OSError("this process has none")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
