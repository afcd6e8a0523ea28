"""Give a message another payload, topic or headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, field

from flowbus import Config, Message, Rejected, transform
from flowbus_core_nodes.expression import NOTHING, Expression, View, value_of, view, view_for
from flowbus_core_nodes.faults import NO_VALUE

_OVER = "a JSONata expression over `payload`, `topic`, `headers`, `id`, `time` (ms) and `quality`"


class Map(Config):
    """Replace the payload, topic or headers of a message by what JSONata expressions give."""

    payload: Annotated[
        str | None,
        Meta(
            description=f"The new payload: {_OVER}. A message for which it gives nothing is rejected; "
            "null is a value. Left out, the payload stays."
        ),
    ] = None
    topic: Annotated[
        str | None,
        Meta(
            description="The new topic, an expression that gives a text; a fixed one stands in "
            "quotes of its own: \"'line3/speed'\". Left out, the topic stays."
        ),
    ] = None
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Headers to set, each with an expression; one that gives nothing takes the "
            "header away. Other headers stay."
        ),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compile every expression, so that a bad one is found before the flow runs."""
        expressions = list(self.expressions())
        if not expressions:
            raise ValueError("a map needs a payload, a topic or headers; it would change nothing")

    def expressions(self) -> Iterator[Expression]:
        """Compile what is given: the payload, the topic, and each header by its name."""
        for option, text in (("payload", self.payload), ("topic", self.topic)):
            if text is not None:
                yield Expression(text, option)
        for header, text in self.headers.items():
            yield Expression(text, f"headers.{header}")


@transform("map")
class map_message:  # noqa: N801 - named like the functions that other node types are
    """Replace the payload, topic or headers of a message by what JSONata expressions give."""

    def __init__(self, config: Map) -> None:
        compiled = {expression.name: expression for expression in config.expressions()}
        self._payload = compiled.get("payload")
        self._topic = compiled.get("topic")
        self._headers = {name: compiled[f"headers.{name}"] for name in config.headers}
        self._payload_only = list(compiled) == ["payload"]  # the usual map, and the cheapest
        # The old headers are read off the view.
        texts = (expression.text for expression in compiled.values())
        self._view = view if self._headers else view_for(*texts)

    def __call__(self, message: Message) -> Message:
        """Return the descendant; every expression sees the message as it came."""
        seen = self._view(message)
        if self._payload_only and self._payload is not None:
            return message.with_payload(value_of(self._payload, seen))
        changes: dict[str, Any] = {}
        if self._payload is not None:
            changes["payload"] = value_of(self._payload, seen)
        if self._topic is not None:
            changes["topic"] = text_of(self._topic, seen)
        if self._headers:
            changes["headers"] = self._new_headers(seen)
        return message.replace(**changes)

    def _new_headers(self, seen: View) -> dict[str, Any]:
        headers = dict(seen["headers"])
        for name, expression in self._headers.items():
            value = expression.evaluate(seen)
            if value is NOTHING:
                headers.pop(name, None)
            else:
                headers[name] = value
        return headers


def text_of(expression: Expression, seen: View) -> str:
    """Return the text that ``expression`` gives; raises Rejected for anything else."""
    value = expression.evaluate(seen)
    if isinstance(value, str):
        return value
    if value is NOTHING:
        why = f"gives nothing; a fixed text stands in quotes of its own: \"'{expression.text}'\""
    else:
        why = "does not give a text; $string(...) makes one"
    raise Rejected(NO_VALUE, f"{expression.name}: {expression.text} {why}")
