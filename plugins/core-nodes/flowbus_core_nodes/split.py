"""Make one message of each item of a list."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from flowbus import Config, Message, Rejected, transform
from flowbus_core_nodes.faults import NOT_A_LIST


class Split(Config):
    """Send each item of a list as a message of its own; an empty list sends none."""

    numbered: Annotated[
        bool,
        Meta(
            description="Give each message the headers `part` (from 0) and `parts` (how many there are)."
        ),
    ] = False


@transform("split")
def split(message: Message, config: Split) -> list[Message]:
    """Send each item of a list as a message of its own; an empty list sends none."""
    items = message.payload
    if not isinstance(items, list | tuple):
        raise Rejected(NOT_A_LIST, f"expected a list, got {type(items).__name__}")
    if not config.numbered:
        return [message.with_payload(item) for item in items]
    parts = len(items)
    return [
        message.with_payload(item).with_headers(part=part, parts=parts)
        for part, item in enumerate(items)
    ]
