"""Let through what fulfils a condition."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from flowbus import Config, Message, transform
from flowbus_core_nodes.expression import Condition, view_for


class Filter(Config):
    """Let a message through where a condition holds, drop it otherwise."""

    condition: Annotated[
        str,
        Meta(
            description="A JSONata condition over `payload`, `topic`, `headers`, `id`, `time` (ms) "
            "and `quality`."
        ),
    ]

    def __post_init__(self) -> None:
        """Compile the condition, so that a bad one is found before the flow runs."""
        Condition(self.condition, "condition")


@transform("filter")
class filter_messages:  # noqa: N801 - named like the functions that other node types are
    """Let a message through where a condition holds, drop it otherwise."""

    def __init__(self, config: Filter) -> None:
        self._condition = Condition(config.condition, "condition")
        self._view = view_for(config.condition)

    def __call__(self, message: Message) -> Message | None:
        """Return the message, or None to drop it."""
        return message if self._condition.holds(self._view(message)) else None
