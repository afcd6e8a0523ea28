"""Values that must not be shown, and the references that bring them into a flow file."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowbus.problem import Flaw, JsonPath, quoted

#: Shorter values are not redacted: they would blot out half of every log.
SHORTEST_REDACTED = 6
#: A line of a longer value (a PEM key) is redacted by itself from this length on.
SHORTEST_LINE = 16
#: Largest file that ``${file:}`` reads, in bytes.
MAX_FILE = 1 << 20

#: Stands in a resolved value where a reference failed; decoding says nothing more about it.
UNRESOLVED: Any = type("Unresolved", (), {"__repr__": lambda _: "UNRESOLVED"})()

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)(\})?")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class Secret:
    """A text that shows as ``***`` wherever it is printed; :meth:`reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = str(text)

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)


class ReferencedText(str):
    """What references in a string came to. ``source`` is the string as the file has it.

    ``whole`` says that the string was nothing but one reference, so that it may stand for an
    option that is no text.
    """

    __slots__ = ("source", "whole")
    source: str
    whole: bool

    def __new__(cls, text: str, source: str, whole: bool) -> ReferencedText:
        """Return ``text`` with its origin."""
        self = super().__new__(cls, text)
        self.source = source
        self.whole = whole
        return self


class Redactor:
    """Knows values that must not be seen and puts ``***`` in their place."""

    def __init__(self) -> None:
        self._forms: list[str] = []

    def add(self, value: str | Secret) -> None:
        """Hide ``value`` from now on, also as JSON, a Python literal or a URL would spell it."""
        text = value.reveal() if isinstance(value, Secret) else str(value)
        forms = {form for part in _parts(text) for form in _spellings(part)}
        self._forms = sorted({*self._forms, *forms}, key=lambda form: (-len(form), form))

    def redact(self, text: str) -> str:
        """Return ``text`` with every known value replaced."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, "***")
        return text

    def redact_tree(self, value: Any) -> Any:
        """Return a JSON-like value with every string in it redacted, keys too."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redact_tree(key): self.redact_tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_tree(item) for item in value]
        return value


def _parts(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()] if "\n" in text else []
    long_lines = [line for line in lines if len(line) >= SHORTEST_LINE and line[:5] != "-----"]
    return [part for part in (text, text.strip()) if len(part) >= SHORTEST_REDACTED] + long_lines


def _spellings(text: str) -> tuple[str, ...]:
    return (
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        quote(text, safe="", errors="replace"),
    )


#: Members of a JWK that are private (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
_PRIVATE_MEMBERS = ("k", "d", "p", "q", "dp", "dq", "qi", "oth")


def is_inline_key(text: str) -> bool:
    """Tell whether ``text`` is a key itself, PEM or JSON, and not the path of one."""
    return "-----BEGIN " in text or text.lstrip()[:1] == "{"


def private_parts(key: Any) -> Iterator[str]:
    """Yield what must not be seen of a key: a private PEM, the private members of a JWK or JWKS."""
    if isinstance(key, str):
        if "PRIVATE KEY" in key:
            yield key
        elif key.lstrip()[:1] == "{":
            yield from _private_members(key)
    elif isinstance(key, list):
        for item in key:
            yield from private_parts(item)
    elif isinstance(key, dict):
        for name, item in key.items():
            if isinstance(item, str) and name in _PRIVATE_MEMBERS:
                yield item
            elif isinstance(item, dict | list):
                yield from private_parts(item)


def _private_members(text: str) -> Iterator[str]:
    try:
        yield from private_parts(json.loads(text))
    except (ValueError, RecursionError):  # it is no JWK that anyone could use: hide all of it
        yield text


def has_reference(value: object) -> bool:
    """Tell whether ``value`` is a string that :func:`resolve` would change."""
    return isinstance(value, str) and "${" in value


def refers(value: Any) -> bool:
    """Tell whether :func:`resolve` would change any string in a JSON-like value."""
    if isinstance(value, Mapping):
        return any(map(refers, value.values()))
    if isinstance(value, list | tuple):
        return any(map(refers, value))
    return has_reference(value)


def resolve(
    value: Any,
    base_dir: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    redactor: Redactor | None = None,
) -> tuple[Any, list[Flaw]]:
    """Return ``value`` with the references in its strings resolved, and those that failed.

    A changed string comes back as :class:`ReferencedText`. ``${file:PATH}`` is relative to
    ``base_dir``; what it gives is made known to ``redactor``. ``environ`` is ``os.environ`` where
    it is not given. A string with a failed reference comes back as :data:`UNRESOLVED`.
    """
    flaws: list[Flaw] = []
    reader = _Reader(Path(base_dir), os.environ if environ is None else environ, redactor)
    return _resolve(value, (), reader, flaws), flaws


def _resolve(value: Any, path: JsonPath, reader: _Reader, flaws: list[Flaw]) -> Any:
    if isinstance(value, str):
        if "${" not in value:
            return value
        try:
            return reader.read(value)
        except UnresolvedError as error:
            flaws.append(Flaw(path, str(error)))
            return UNRESOLVED
    if isinstance(value, dict):
        return {k: _resolve(v, (*path, k), reader, flaws) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, (*path, i), reader, flaws) for i, v in enumerate(value)]
    return value


class UnresolvedError(ValueError):
    """A reference that gives no value; the text says why."""


class _Reader:
    """Reads the references of one string after the other."""

    def __init__(
        self, base_dir: Path, environ: Mapping[str, str], redactor: Redactor | None
    ) -> None:
        self._base_dir = base_dir
        self._environ = environ
        self._redactor = redactor

    def read(self, text: str) -> ReferencedText:
        whole = _REFERENCE.fullmatch(text)
        only = whole is not None and whole[2] is not None
        return ReferencedText(_REFERENCE.sub(self._replace, text), text, only)

    def _replace(self, match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        if match[2] is None:
            raise UnresolvedError(
                f"the reference {quoted(match[0])} has no closing brace, or a brace inside; "
                "write $${ for a plain ${"
            )
        kind, _, rest = match[1].partition(":")
        if kind == "env":
            return self._env(match[1])
        if kind == "file":
            return self._file(rest)
        raise UnresolvedError(
            f"unknown reference {quoted(match[0])}; known are ${{env:NAME}}, "
            "${env:NAME:-default} and ${file:PATH}; write $${ for a plain ${"
        )

    def _env(self, inner: str) -> str:
        match = _ENV.fullmatch(inner)
        if match is None:
            raise UnresolvedError(
                f'"${{{inner}}}" does not name an environment variable: a name has letters, '
                "digits and _, a default follows after :-"
            )
        name, default = match.groups()
        value = self._environ.get(name)
        if default is not None and not value:
            return default
        if value is None:
            raise UnresolvedError(
                f"the environment variable {name} is not set; set it, or give a default: "
                f"${{env:{name}:-default}}"
            )
        return value

    def _file(self, name: str) -> str:
        if not name or "\0" in name:
            raise UnresolvedError("${file:} needs the path of a file")
        text = read_text(self._base_dir / name)
        text = text.removesuffix("\n").removesuffix("\r")
        if self._redactor is not None:
            self._redactor.add(text)
        return text


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a small regular file; :class:`UnresolvedError` says why not."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise UnresolvedError(f"the file {path} is not UTF-8 text (byte {error.start})") from None


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file of at most :data:`MAX_FILE` bytes; never waits for a pipe."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnresolvedError(f"{path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UnresolvedError(
            f"cannot read the file {path}: {(error.strerror or str(error)).lower()}"
        ) from None
    except ValueError as error:  # a path that no system has, such as one with a NUL
        raise UnresolvedError(f"cannot read the file {quoted(str(path))}: {error}") from None
    if len(data) > MAX_FILE:
        raise UnresolvedError(f"the file {path} is larger than {MAX_FILE} bytes")
    return data
