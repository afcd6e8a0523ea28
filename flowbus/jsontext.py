"""A strict JSON reader that knows where each value and key stands in the text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

from flowbus.problem import Flaw, JsonPath, Problem, path_text, quoted

#: Objects and arrays inside each other, the outermost included.
MAX_DEPTH = 64
#: Errors after which the reader gives up.
MAX_FLAWS = 100
#: Digits of the longest number that is read.
MAX_DIGITS = 1000

# The usual parts of a text, each in one match; whatever they do not fit takes the careful way.
_PLAIN_STRING = re.compile(r'"([^"\\\x00-\x1f]*)"')
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*(?![ \t\n\r/#])")
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?![ \t\n\r/#\]}])")

_SPACE = re.compile(r"[ \t\n\r]*")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?=[\s,\]}]|\Z)")
_WORD = re.compile(r"[^\s,:\]}{\[\"]+|.", re.DOTALL)
_CONSTANT = re.compile(r"(?:true|false|null)(?=[\s,\]}]|\Z)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_CONSTANTS = {"true": True, "false": False, "null": None}
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}

# Where a value begins: its offset; for an object or array a pair of that and its parts, which are
# a dict of key -> (offset of the key, mark) or a list of marks.
_Mark = Any


class Document:
    """A JSON text that was read: its value, what is wrong with it, and where everything stands.

    ``value`` is None where the text is broken; a duplicate key does not break it: the first counts.
    """

    def __init__(
        self, file: str, text: str, value: Any, mark: _Mark, found: Iterable[tuple[int, Flaw]] = ()
    ) -> None:
        self.file = file
        self.value = value
        self._mark = mark
        self._lines = [0, *(match.end() for match in _NEWLINE.finditer(text))]
        self.problems = [
            Problem(file, *self._place(offset), path_text(flaw.path), flaw.text)
            for offset, flaw in found
        ]

    @classmethod
    def of(cls, value: Any, file: str) -> Document:
        """Return a document of a value that was never a text; everything stands at its beginning."""
        return cls(file, "", value, 0)

    def position(self, path: JsonPath, *, key: bool = False) -> tuple[int, int]:
        """Return line and column (from 1, in characters) of the value at ``path``, or of its key.

        Where nothing stands at ``path``, it is the place of the nearest value around it.
        """
        offset, mark = _offset(self._mark), self._mark
        for step in path:
            try:
                inside = mark[1][step]
            except (TypeError, LookupError):
                return self._place(_offset(mark))
            offset, mark = inside if isinstance(step, str) else (_offset(inside), inside)
        return self._place(offset if key else _offset(mark))

    def problem(self, flaw: Flaw, below: JsonPath = (), **more: Any) -> Problem:
        """Return ``flaw``, whose path begins at ``below``, with its place in the file."""
        path = (*below, *flaw.path)
        line, column = self.position(path, key=flaw.at_key)
        return Problem(self.file, line, column, path_text(path), flaw.text, **more)

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


def _offset(mark: _Mark) -> int:
    offset: int = mark[0] if isinstance(mark, tuple) else mark
    return offset


def parse(text: bytes, file: str) -> Document:
    """Read strict JSON in UTF-8; every error of the text is in the document's ``problems``."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(text, file, error)
    return _Reader(decoded).document(file)


def _not_utf8(text: bytes, file: str, error: UnicodeDecodeError) -> Document:
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        why = "the file is UTF-16; save it as UTF-8"
    else:
        byte = text[error.start]
        why = f"the file is not UTF-8 (byte {error.start} is 0x{byte:02X}); save it as UTF-8"
    before = text[: error.start].decode()
    return Document(file, before, None, 0, [(len(before), Flaw((), why))])


class _StopError(Exception):
    """The text cannot be read any further."""


class _Reader:
    """Goes once through a text, values and their places side by side."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[tuple[int, Flaw]] = []
        self.path: list[str | int] = []
        self.broken = False

    def document(self, file: str) -> Document:
        value, mark = None, 0
        try:
            at = 0
            if self.text.startswith("\ufeff"):
                self.flaw(0, "the file begins with a byte order mark; save it as UTF-8 without BOM")
                at = 1
            value, mark, at = self.value(self.space(at))
            at = self.space(at)
            if at < len(self.text):
                self.stop(at, f"expected the end of the file, found {self.seen(at)}")
        except _StopError:
            pass
        return Document(file, self.text, None if self.broken else value, mark, self.found)

    def flaw(
        self, at: int, text: str, *, path: JsonPath | None = None, breaks: bool = True
    ) -> None:
        self.broken |= breaks
        self.found.append((at, Flaw(tuple(self.path) if path is None else path, text)))
        if len(self.found) >= MAX_FLAWS:
            self.broken = True
            raise _StopError

    def stop(self, at: int, text: str) -> NoReturn:
        self.flaw(at, text)
        raise _StopError

    def seen(self, at: int) -> str:
        if self.text[at : at + 1] == '"':
            return "a text"
        word = _WORD.match(self.text, at)
        return quoted(word[0], 20) if word else "the end of the file"

    def space(self, at: int) -> int:
        """Return the next offset that is neither white space nor a comment (which is an error)."""
        while True:
            at = _SPACE.match(self.text, at).end()  # type: ignore[union-attr]
            comment = _COMMENT.match(self.text, at)
            if comment is None:
                return at
            self.flaw(at, 'JSON has no comments; use the key "note"')
            at = comment.end()

    def value(self, at: int) -> tuple[Any, _Mark, int]:
        """Return the value at ``at``, its mark, and the offset behind it."""
        first = self.text[at : at + 1]
        if first == '"':
            if plain := _PLAIN_STRING.match(self.text, at):
                return plain[1], at, plain.end()
            value, end = self.string(at)
            return value, at, end
        if first == "{" or first == "[":
            if len(self.path) >= MAX_DEPTH:
                self.stop(at, f"more than {MAX_DEPTH} objects and arrays inside each other")
            return self.object(at) if first == "{" else self.array(at)
        return self.bare(at)

    def bare(self, at: int) -> tuple[Any, _Mark, int]:
        """Return a number or a constant as :meth:`value` does."""
        if match := _NUMBER.match(self.text, at):
            return self.number(match, at), at, match.end()
        if match := _CONSTANT.match(self.text, at):
            return _CONSTANTS[match[0]], at, match.end()
        word = _WORD.match(self.text, at)
        if word is None:
            self.stop(at, "expected a value, found the end of the file")
        if word[0] not in _NOT_FINITE:
            self.stop(at, _wrong_value(word[0]))
        self.flaw(at, f"JSON has no {word[0]}; a number must be finite")
        return None, at, word.end()

    def number(self, match: re.Match[str], at: int) -> int | float:
        digits = match[0]
        if len(digits) > MAX_DIGITS:
            self.flaw(at, f"the number has more than {MAX_DIGITS} digits")
            return 0
        if match[1] is None and match[2] is None:
            return int(digits)
        number = float(digits)
        if number - number != 0:
            self.flaw(at, f"the number {quoted(digits, 30)[1:-1]} is too large")
        return number

    def string(self, at: int) -> tuple[str, int]:
        try:
            value, end = scanstring(self.text, at + 1, True)
        except JSONDecodeError as error:
            self.stop(*_wrong_string(error, at))
        if len(value) != end - at - 2 and _SURROGATE.search(value):
            self.flaw(at, "half of a surrogate pair (\\ud800 to \\udfff) is no character")
        return value, end

    def object(self, start: int) -> tuple[dict[str, Any], _Mark, int]:
        value: dict[str, Any] = {}
        marks: dict[str, tuple[int, _Mark]] = {}
        text = self.text
        at = self.space(start + 1)
        if text[at : at + 1] == "}":
            return value, (start, marks), at + 1
        while True:
            key_at = at
            plain = _PLAIN_STRING.match(text, at)
            key, at = (plain[1], plain.end()) if plain else self.key(at)
            colon = _COLON.match(text, at)
            at = colon.end() if colon else self.colon(at, key)
            self.path.append(key)
            item, mark, at = self.value(at)
            self.path.pop()
            if key in value:
                self.duplicate(key, key_at, marks[key][0])
            else:
                value[key] = item
                marks[key] = (key_at, mark)
            if comma := _COMMA.match(text, at):
                at = comma.end()
                continue
            at, last = self.separator(at, "}")
            if last:
                return value, (start, marks), at

    def array(self, start: int) -> tuple[list[Any], _Mark, int]:
        value: list[Any] = []
        marks: list[_Mark] = []
        at = self.space(start + 1)
        if self.text[at : at + 1] == "]":
            return value, (start, marks), at + 1
        while True:
            self.path.append(len(value))
            item, mark, at = self.value(at)
            self.path.pop()
            value.append(item)
            marks.append(mark)
            if comma := _COMMA.match(self.text, at):
                at = comma.end()
                continue
            at, last = self.separator(at, "]")
            if last:
                return value, (start, marks), at

    def separator(self, at: int, close: str) -> tuple[int, bool]:
        """Return the offset of the next part, or behind ``close`` and True."""
        at = self.space(at)
        found = self.text[at : at + 1]
        if found == close:
            return at + 1, True
        if found != ",":
            self.stop(at, f'expected "," or "{close}", found {self.seen(at)}')
        after = self.space(at + 1)
        if self.text[after : after + 1] != close:
            return after, False
        self.flaw(at, f'a comma before "{close}": remove it')
        return after + 1, True

    def key(self, at: int) -> tuple[str, int]:
        if self.text[at : at + 1] != '"':
            self.stop(at, f"expected a key in double quotes, found {self.seen(at)}")
        return self.string(at)

    def colon(self, at: int, key: str) -> int:
        at = self.space(at)
        if self.text[at : at + 1] != ":":
            self.stop(at, f'expected ":" after the key {quoted(key)}, found {self.seen(at)}')
        return self.space(at + 1)

    def duplicate(self, key: str, at: int, first: int) -> None:
        line = self.text.count("\n", 0, first) + 1
        text = f"the key {quoted(key)} is here twice, first in line {line}"
        self.flaw(at, text, path=(*self.path, key), breaks=False)


def _wrong_value(word: str) -> str:
    found = f"expected a value, found {quoted(word, 20)}"
    if word[0] == "'":
        return "texts stand in double quotes, not in single ones"
    if word.lower() in ("true", "false", "null", "none"):
        return f"{found}; JSON spells it {'null' if word.lower() == 'none' else word.lower()}"
    if word[0] in "+-.0123456789":
        return f"{quoted(word, 20)} is not a JSON number"
    return f"{found}; a text needs double quotes" if word[0].isalpha() else found


def _wrong_string(error: JSONDecodeError, start: int) -> tuple[int, str]:
    if error.msg.startswith("Unterminated"):
        return start, "the text that begins here has no closing double quote"
    if error.msg.startswith("Invalid control"):
        return error.pos, "a line break or control character inside a text; write it as \\n or \\u"
    return error.pos, f"{error.msg.rstrip(': at').lower()} in a text; write \\\\ for a backslash"
