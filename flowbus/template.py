"""Texts with gaps that each message fills."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowbus.errors import Rejected
from flowbus.message import Message
from flowbus.problem import quoted

Getter = Callable[[Message], Any]

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Template:
    """A text with ``{topic}``, ``{id}``, ``{payload}``, ``{payload.path}`` and ``{headers.name}``.

    ``{{`` and ``}}`` stand for braces. A path goes by keys of objects and indexes of lists. A text
    fills a gap as it is, a number or truth value as JSON spells it. Raises ValueError where the
    text cannot be read.
    """

    __slots__ = ("_parts", "is_constant", "text")

    def __init__(self, text: str) -> None:
        parts = _merged(_parse(text))
        self.text = str(text)
        self.is_constant = all(isinstance(part, str) for part in parts)
        self._parts: str | tuple[str | _Gap, ...] = (
            "".join(map(str, parts)) if self.is_constant else tuple(parts)
        )

    def render(self, message: Message) -> str:
        """Return the text for ``message``; raises Rejected where a value is missing or does not fit."""
        parts = self._parts
        if isinstance(parts, str):
            return parts
        return "".join([part if isinstance(part, str) else part.fill(message) for part in parts])

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash((Template, self.text))


class _Gap:
    """One ``{...}``: what it is called and how its value is found."""

    __slots__ = ("_get", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._get = _getter(name)

    def fill(self, message: Message) -> str:
        try:
            value = self._get(message)
        except LookupError:
            raise Rejected(f"the message has no {self._name}, which a template needs") from None
        if isinstance(value, str):
            return value
        if value is True or value is False:
            return "true" if value else "false"
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float) and value - value == 0:  # neither infinite nor NaN
            return float.__repr__(value)
        raise Rejected(
            f"{self._name} is {_kind(value)}; a template takes a text, a number or a truth value"
        )


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "not finite" if isinstance(value, float) else f"of type {type(value).__name__}"


def _parse(text: str) -> list[str | _Gap]:
    return [_piece(match, text) for match in _PIECE.finditer(text)]


def _merged(pieces: list[str | _Gap]) -> list[str | _Gap]:
    merged: list[str | _Gap] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _piece(match: re.Match[str], text: str) -> str | _Gap:
    piece = match[0]
    if piece in ("{{", "}}"):
        return piece[0]
    if match[1] is not None:
        return _Gap(match[1])
    if piece in ("{", "}"):
        raise ValueError(
            f"single {quoted(piece)} at character {match.start() + 1} of the template "
            f"{quoted(text)}; write {piece * 2} for a plain brace"
        )
    return piece


def _getter(name: str) -> Getter:
    root, dot, rest = name.partition(".")
    if dot and (not rest or "" in rest.split(".")):
        raise ValueError(f"the template gap {{{name}}} has an empty step between its dots")
    if name == "topic":
        return _topic
    if name == "id":
        return lambda message: message.id
    if root == "payload":
        steps = rest.split(".") if rest else []
        return lambda message: _walk(message.payload, steps)
    if root == "headers" and rest:
        return lambda message: _header(message.headers, rest)
    raise ValueError(
        f"unknown template gap {{{name}}}; known are {{topic}}, {{id}}, {{payload}}, "
        "{payload.path} and {headers.name}; write {{ and }} for plain braces"
    )


def _topic(message: Message) -> str:
    if not message.topic:
        raise LookupError("topic")
    return message.topic


def _header(headers: Mapping[str, Any], name: str) -> Any:
    return headers[name] if name in headers else _walk(headers, name.split("."))


def _walk(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, Mapping):
            value = value[step]
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            value = value[_index(step)]
        else:
            raise LookupError(step)  # noqa: TRY004 - the message lacks it; no type is wrong
    return value


def _index(step: str) -> int:
    if step.isascii() and step.isdigit() and len(step) < 10:
        return int(step)
    raise LookupError(step)
