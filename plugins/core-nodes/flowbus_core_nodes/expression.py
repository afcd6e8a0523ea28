"""JSONata expressions over a message: compiled once, bounded, with errors that name their place.

An expression sees the view of a message: an object with

- ``payload``, ``topic`` and ``headers``;
- ``id``, the whole number that the source gave the message;
- ``time`` in milliseconds since 1970, the unit of ``$millis()`` and ``$fromMillis()``;
- ``quality``, one of the texts ``good``, ``uncertain`` and ``bad``.

JSONata is that of jsonata.org; its numbers are doubles, so a whole number beyond 2**53 that is
read by itself is rounded, and 4.0 comes out as 4. Objects and lists that an expression only hands
through keep what they hold, bytes too.

What an expression may cost is bounded by LENGTH, TIME_LIMIT, DEPTH and SEQUENCE. One call of a
built-in function cannot be interrupted, so a text built by ``$pad`` or ``$replace`` is not bounded;
the text of an expression comes from the flow file, never from a message, unless it uses ``$eval``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, Final

import jsonatapy

from flowbus import Message, Quality, Rejected
from flowbus_core_nodes.faults import EXPRESSION, EXPRESSION_LIMIT, NO_VALUE
from flowbus_core_nodes.shortcut import UNSURE, shortcut

LENGTH = 8192  # characters of an expression
TIME_LIMIT = 200  # ms of one evaluation; above 250 ms the runtime calls a node blocked
DEPTH = 1000  # of nested evaluation; a function that calls itself takes three or four a call
SEQUENCE = 100_000  # items of a list that an expression builds

View = dict[str, Any]

#: What an expression gives where JSONata says "undefined": a path that leads nowhere.
NOTHING: Final = object()

#: What an evaluation raises, be it for a value that jsonatapy cannot take over.
_ERRORS = (ValueError, TypeError, ArithmeticError, RecursionError)
_LIMITS = ("D1011", "D1012", "D2015", "U1001")
_UNFINISHED = ("S0101", "S0105", "S0106", "S0203", "S0207")  # what a good beginning says at its end
_HINTS = {
    "==": "JSONata compares with a single =",
    "&&": "JSONata says and",
    "||": "JSONata says or",
    "!": "JSONata negates with $not(...)",
}
_NO_FUNCTION = re.compile(r"T100[56]: .*(\$\w+)$")


def view(message: Message) -> View:
    """Return what an expression sees of ``message``."""
    headers, quality = message.headers, message.quality
    return {
        "payload": message.payload,
        "topic": message.topic,
        "headers": headers if type(headers) is dict else dict(headers) if headers else {},
        "id": message.id,
        "time": message.time // 1_000_000,
        "quality": "good" if quality is Quality.GOOD else quality.value,
    }


#: What may look at more than the payload: a function (its context may be the whole view), a
#: wildcard, parent or descendant operator, or the name of another part, even inside a text.
_MORE_THAN_PAYLOAD = re.compile(
    r"""\$|\*\*|(?:^|[^\w)\]"'`\s])\s*[*%]|\b(?:and|or|in)\s*[*%]|\b(?:topic|headers|id|time|quality)\b"""
)


def view_for(*texts: str) -> Callable[[Message], View]:
    """Return the cheapest view in which all these expressions say what they say in :func:`view`."""
    if any(_MORE_THAN_PAYLOAD.search(text) for text in texts):
        return view
    return lambda message: {"payload": message.payload}


class Expression:
    """A compiled JSONata expression.

    ``name`` is what errors call it: an option or a case. Raises ValueError where ``text`` cannot
    be compiled, with the place.
    """

    __slots__ = ("_exists", "_run", "_short", "name", "text")

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._run = _checked(text, name)
        self._exists = _compile(f"{{'v': ({text})}}")
        self._short = shortcut(text, _constant)

    def evaluate(self, seen: View) -> Any:
        """Return the value for the view of a message, or NOTHING; raises Rejected."""
        if self._short is not None and (short := self._short(seen)) is not UNSURE:
            return short
        try:
            value = self._run(seen)
            if value is None and not self._exists(seen):
                return NOTHING  # null and undefined are both None, but an object omits undefined
        except _ERRORS as error:
            raise refusal(self.name, error) from None
        if type(value) is float and value - value != 0:
            raise Rejected(EXPRESSION, f"{self.name}: the result is {value}, which is no number")
        return value


class Condition:
    """A compiled JSONata expression of which only its truth is wanted; see :class:`Expression`."""

    __slots__ = ("_run", "_short", "name", "text")

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        _checked(text, name)
        # The conditional operator casts to boolean as $boolean() does and costs a third of it.
        self._run = _compile(f"({text}) ? true : false")
        self._short = shortcut(text, _constant)

    def holds(self, seen: View) -> bool:
        """Tell whether JSONata takes the value for true; nothing at all is false. Raises Rejected."""
        if self._short is not None and type(short := self._short(seen)) is bool:
            return short
        try:
            return self._run(seen) is True
        except _ERRORS as error:
            raise refusal(self.name, error) from None


def value_of(expression: Expression, seen: View) -> Any:
    """Return the value of ``expression``; raises Rejected where it gives none."""
    value = expression.evaluate(seen)
    if value is NOTHING:
        raise Rejected(NO_VALUE, f"{expression.name}: {expression.text} gives nothing")
    return value


def refusal(name: str, error: Exception) -> Rejected:
    """Return the Rejected that stands for what an evaluation raised."""
    text = str(error).removeprefix("TypeError: ").removeprefix("OverflowError: ")
    if text.startswith("Cannot convert Python object to JSON: "):
        kind = text.rpartition(" ")[2]
        text = f"it reads a value of type {kind}, which JSONata cannot"
    elif text.startswith("int too big"):
        text = "it reads a whole number beyond 64 bits, which JSONata cannot"
    return Rejected(EXPRESSION_LIMIT if text.startswith(_LIMITS) else EXPRESSION, f"{name}: {text}")


def _compile(text: str) -> Callable[[View], Any]:
    compiled = jsonatapy.compile(
        text, timeout=TIME_LIMIT, max_stack_depth=DEPTH, max_sequence_length=SEQUENCE
    )
    if "$random" in text:
        # The built-in of this name exists but cannot be called (jsonatapy 2.2.13).
        compiled.register_override("random", random.random)
    return compiled.evaluate


def _constant(text: str) -> Any:
    return _compile(text)({})


def _checked(text: str, name: str) -> Callable[[View], Any]:
    if not text.strip():
        raise ValueError(f"{name}: the expression is empty")
    if len(text) > LENGTH:
        raise ValueError(
            f"{name}: the expression has {len(text)} characters, {LENGTH} are allowed; "
            "make it several nodes"
        )
    try:
        run = _compile(text)
    except ValueError as error:
        raise ValueError(f"{name}: {_place(text, str(error))}") from None
    _check_functions(text, name, run)
    return run


def _place(text: str, why: str) -> str:
    """Say where ``text`` stops being the beginning of an expression: ``character 5: ...``."""
    why = _plain(why)
    if why.startswith("U"):  # too much of it as a whole, no place is to blame
        return why
    end = len(text)
    while end and not _could_go_on(text[:end]):
        end -= 1
    if end == len(text):
        return f"at its end: {why}"
    hint = next((h for sign, h in _HINTS.items() if sign in text[max(0, end - 1) : end + 2]), "")
    return f"character {end + 1}: {why}" + (f"; {hint}" if hint else "")


def _could_go_on(text: str) -> bool:
    try:
        jsonatapy.compile(text)
    except ValueError as error:
        return _plain(str(error)).startswith(_UNFINISHED)
    return True


def _plain(why: str) -> str:
    """Return the reason of jsonatapy without its own headings and on one line."""
    why = why.removeprefix("Parse error: ").removeprefix("Invalid syntax: ")
    return why if why.isprintable() else ascii(why)[1:-1]


def _check_functions(text: str, name: str, run: Callable[[View], Any]) -> None:
    """Refuse a call of a function that is neither built in nor ever bound.

    Trying the expression on an empty message finds it; that it is never bound, which a message
    could change, is read off the text: each time it stands there it is called.
    """
    try:
        run(view(Message(None)))
    except _ERRORS as error:
        called = _NO_FUNCTION.search(str(error))
        if called and not re.search(re.escape(called[1]) + r"\b(?!\s*\()", text):
            at = text.index(called[1]) + 1
            raise ValueError(f"{name}: character {at}: there is no function {called[1]}") from None
