"""What is wrong with a flow file, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from flowbus.errors import ConfigError

#: The way from a JSON value to one inside it: keys and list indexes.
JsonPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Flaw(NamedTuple):
    """Something wrong at ``path``; ``at_key`` means the key there, not the value behind it."""

    path: JsonPath
    text: str
    at_key: bool = False


class Problem(msgspec.Struct, frozen=True):
    """One line of what ``flowbus check`` says; line and column (in characters) count from 1."""

    file: str
    line: int
    column: int
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        kind = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {kind}{self.message}"


class FlowFileError(ConfigError):
    """A flow file that cannot run; ``problems`` has every error, the text one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def path_text(path: JsonPath) -> str:
    """Write ``("nodes", "a", "symbols", 0)`` as ``nodes.a.symbols[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text or "(top level)"


def quoted(text: str, limit: int = 60) -> str:
    """Return ``text`` in double quotes on one line, cut after ``limit`` characters."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    escaped = "".join(
        ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in shown
    )
    return f'"{escaped}"'


def near(wrong: str, known: Iterable[str]) -> str:
    """Return `` (did you mean "right"?)`` where a known name is close to ``wrong``, else nothing."""
    from difflib import get_close_matches  # only needed once something is wrong

    found = get_close_matches(wrong, [*known], n=1, cutoff=0.6)
    return f" (did you mean {quoted(found[0])}?)" if found else ""


def listed(names: Iterable[str], limit: int = 40) -> str:
    """Return names in order, separated by commas, for the end of a message."""
    names = [*names]
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
