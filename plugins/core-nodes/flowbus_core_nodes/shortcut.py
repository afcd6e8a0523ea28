"""Short expressions without the engine: a constant, a path, and a path beside a constant.

Most conditions and maps of real flows are of this kind (``payload.cmd = 'speed'``,
``payload.value * 0.5``), and calling the engine costs them more than their work. The rule: only what
certainly gives the engine's own answer is answered here; whatever else a message holds (a list on
the way, a value that is missing, a number that a double cannot hold) gives UNSURE, and the engine
is asked.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

#: The answer where the engine has to be asked.
UNSURE: Final = object()

Shortcut = Callable[[Mapping[str, Any]], Any]
Pair = Callable[[Any, Any], Any]

EXACT: Final = 2**53  # beyond it a double does not hold every whole number

_PATH = r"(?P<root>payload|topic)(?P<steps>(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
_CONSTANT = r"'[^'\\]*'|\"[^\"\\]*\"|-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?|true|false|null"
_WHOLE_PATH = re.compile(rf"\s*{_PATH}\s*")
_WHOLE_CONSTANT = re.compile(rf"\s*(?:{_CONSTANT})\s*")
_BOTH = re.compile(rf"\s*{_PATH}\s*(?P<sign>!=|<=|>=|[=<>*/+-])\s*(?P<constant>{_CONSTANT})\s*")

#: Names that mean something else than a field where they stand alone.
_WORDS: Final = frozenset({"and", "or", "in", "true", "false", "null", "function"})

_COMPARE: Final[dict[str, Pair]] = {
    "=": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMPUTE: Final[dict[str, Pair]] = {
    "*": operator.mul, "/": operator.truediv, "+": operator.add, "-": operator.sub,
}  # fmt: skip


def shortcut(text: str, engine: Callable[[str], Any]) -> Shortcut | None:
    """Return what answers ``text`` without the engine, or UNSURE; None where it is not short.

    ``engine`` evaluates a constant, once: what it makes of ``1.0`` is its own affair.
    """
    if _WHOLE_CONSTANT.fullmatch(text):
        constant = engine(text)
        return lambda seen: constant
    if found := _WHOLE_PATH.fullmatch(text):
        read = _reader(found)
        return read and _plain(read)
    if found := _BOTH.fullmatch(text):
        read = _reader(found)
        return read and _beside(read, found["sign"], engine(found["constant"]))
    return None


def _reader(found: re.Match[str]) -> Shortcut | None:
    """Return what follows a path through plain objects."""
    root, steps = found["root"], tuple(found["steps"].split(".")[1:])
    if not _WORDS.isdisjoint(steps):
        return None
    if not steps:
        return operator.itemgetter(root)
    if len(steps) == 1:  # the usual one, without a loop
        [name] = steps

        def read_one(seen: Mapping[str, Any]) -> Any:
            value = seen[root]
            return value.get(name, UNSURE) if type(value) is dict else UNSURE

        return read_one

    def read(seen: Mapping[str, Any]) -> Any:
        value = seen[root]
        for name in steps:
            if type(value) is not dict or name not in value:
                return UNSURE
            value = value[name]
        return value

    return read


def _plain(read: Shortcut) -> Shortcut:
    def path(seen: Mapping[str, Any]) -> Any:
        value = read(seen)
        kind = type(value)
        if kind is dict or kind is bool:
            return value
        # A text may hold what has no form in UTF-8, which the engine refuses.
        if kind is str:
            return value if value.isascii() else UNSURE
        return value if kind is int and -EXACT < value < EXACT else UNSURE

    return path


def _beside(read: Shortcut, sign: str, constant: Any) -> Shortcut | None:
    number = type(constant) is int or type(constant) is float
    if sign in _COMPUTE:
        return _computed(read, _COMPUTE[sign], float(constant)) if number else None
    compare = _COMPARE[sign]
    if number:
        return _compared(read, compare, constant)
    if type(constant) is not str or not constant.isascii():
        return None

    def compared_text(seen: Mapping[str, Any]) -> Any:
        value = read(seen)
        return compare(value, constant) if type(value) is str and value.isascii() else UNSURE

    return compared_text


def _compared(read: Shortcut, compare: Pair, constant: float) -> Shortcut:
    def compared(seen: Mapping[str, Any]) -> Any:
        value = read(seen)
        kind = type(value)
        if (kind is int or kind is float) and -EXACT < value < EXACT:
            return compare(value, constant)
        return UNSURE

    return compared


def _computed(read: Shortcut, compute: Pair, constant: float) -> Shortcut:
    def computed(seen: Mapping[str, Any]) -> Any:
        value = read(seen)
        kind = type(value)
        if not ((kind is int or kind is float) and -EXACT < value < EXACT):
            return UNSURE
        try:
            result = compute(float(value), constant)
        except ZeroDivisionError:
            return UNSURE
        if not -EXACT < result < EXACT or not result:  # minus zero, no number, or rounded
            return UNSURE
        return int(result) if result.is_integer() else result

    return computed
