"""What a transform or handler returns, and how it goes on its way."""

from __future__ import annotations

from flowbus.message import Message
from flowbus.receipt import Receipt
from flowbus.wire import Wire


async def put_all(left: list[tuple[Wire, Message, Receipt]]) -> None:
    """Put each message on its wire in turn, waiting for room."""
    try:
        while left:
            wire, message, receipt = left[0]
            await wire.put(message, receipt)
            del left[0]
    except BaseException:
        # Cancelled while waiting for room: the message was received and must not be lost.
        for wire, message, receipt in left:
            wire.force(message, receipt)
        raise


def descend(message: Message, parent: Message) -> Message:
    """Give a descendant that was built from nothing the id and time of its parent."""
    if message.id == parent.id:
        return message
    return Message(
        message.payload, message.topic, message.headers,
        parent.id, message.time or parent.time, message.quality,
    )  # fmt: skip


def by_outlet(result: object) -> list[tuple[str, Message]]:
    """Return what a handler or transform returned as pairs of outlet and message.

    TypeError says what is wrong with anything else.
    """
    if isinstance(result, Message):
        return [("out", result)]
    if isinstance(result, dict):
        pairs = list(result.items())
    elif isinstance(result, list):
        pairs = [("out", message) for message in result]
    else:
        raise TypeError(f"returned {type(result).__name__}, not a message, None, a list or a dict")
    for outlet, message in pairs:
        if not isinstance(message, Message):
            raise TypeError(f"returned {type(message).__name__} for {outlet!r}, not a message")
    return pairs
