"""The one value that travels on wires."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Self

import msgspec

NO_HEADERS: Mapping[str, Any] = MappingProxyType({})


class Quality(Enum):
    """How far the payload can be trusted, as OPC knows it."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Message(msgspec.Struct, frozen=True, gc=False):
    """An immutable value with its name and its origin.

    Fan-out hands the same object to every receiver, so payload and headers are read-only by
    contract. ``id`` and ``time`` (ns since the Unix epoch) are given when a source emits the
    message, ``time`` only where the source did not give its own; descendants keep both.
    """

    payload: Any
    topic: str = ""
    headers: Mapping[str, Any] = NO_HEADERS
    id: int = 0
    time: int = 0
    quality: Quality = Quality.GOOD

    def copy(self) -> Message:
        """Return an equal message that has not been emitted."""
        return Message(self.payload, self.topic, self.headers, 0, self.time, self.quality)

    def with_payload(self, payload: Any) -> Message:
        """Return a descendant that carries ``payload`` instead."""
        return Message(payload, self.topic, self.headers, self.id, self.time, self.quality)

    def with_headers(self, **headers: Any) -> Message:
        """Return a descendant with these headers added or replaced."""
        merged = {**self.headers, **headers}
        return Message(self.payload, self.topic, merged, self.id, self.time, self.quality)

    def replace(self, **fields: Any) -> Self:
        """Return a descendant with other fields; ``id`` is the source's and cannot be replaced."""
        if "id" in fields:
            raise TypeError("a message keeps the id that its source gave it")
        return msgspec.structs.replace(self, **fields)
