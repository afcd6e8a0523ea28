"""A transform: a plain function from one message to another."""

from typing import Annotated

from msgspec import Meta

from flowbus import Config, Message, Rejected, transform


class Scale(Config):
    """Multiply a number by `factor` and add `offset`."""

    factor: Annotated[float, Meta(description="What the number is multiplied by.")] = 1.0
    offset: Annotated[float, Meta(description="What is added then.")] = 0.0


@transform("scale")
def scale(message: Message, config: Scale) -> Message:
    """Multiply a number by `factor` and add `offset`."""
    value = message.payload
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected(f"{value!r} is not a number")
    return message.with_payload(value * config.factor + config.offset)
