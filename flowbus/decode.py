"""Turn the options of a flow file into a config, strictly, and say everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from msgspec import inspect

from flowbus.decoders import BAD, DECODERS
from flowbus.problem import Flaw, JsonPath, quoted
from flowbus.secrets import UNRESOLVED, Redactor, ReferencedText, is_inline_key, private_parts
from flowbus.shape import (
    FILE,
    KEY,
    MARK,
    SIZE,
    bare,
    holds_secret,
    json_text,
    shape_of,
    takes_text,
    words,
)

T = TypeVar("T")

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:([KMGT])(?:I?B)?|B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_INLINE_PEM = "-----BEGIN "


def decode(
    config_type: type[T],
    raw: Any,
    *,
    base_dir: Path | None = None,
    redactor: Redactor | None = None,
    other_keys: tuple[str, ...] = (),
) -> tuple[T | None, list[Flaw]]:
    """Return the config that ``raw`` describes, or None and every flaw in it.

    ``raw`` comes from :func:`flowbus.secrets.resolve` where it may hold references. Paths of
    files are taken relative to ``base_dir``. Secrets are made known to ``redactor``, and no flaw
    shows one. ``other_keys`` are suggested beside the options for a key that is near to one.
    """
    run = Run(base_dir, redactor or Redactor(), other_keys)
    value = run.decode(shape_of(config_type), raw, ())
    flaws = [flaw._replace(text=run.redactor.redact(flaw.text)) for flaw in run.flaws]
    return (None if value is BAD else value), flaws


def parse_size(text: str) -> int:
    """Bytes of ``"1024"``, ``"64KB"``, ``"1.5 MiB"``; a K is 1024 with or without the i."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a size")
    number, unit = match.groups(default="")
    return int(float(number) * 1024 ** _POWERS[unit.upper()])


class Run:
    """One decoding: what it needs, and the flaws found so far."""

    def __init__(
        self, base_dir: Path | None, redactor: Redactor, other_keys: tuple[str, ...]
    ) -> None:
        self.base_dir = base_dir
        self.redactor = redactor
        self.other_keys = other_keys
        self.flaws: list[Flaw] = []
        self.source = ""  # the reference whose text is being read as JSON

    def bad(self, path: JsonPath, text: str, *, at_key: bool = False) -> Any:
        """Note a flaw; return BAD for the caller to return."""
        self.flaws.append(Flaw(path, text, at_key))
        return BAD

    def unexpected(self, shape: inspect.Type, value: Any, path: JsonPath, hint: str = "") -> Any:
        """Note that ``value`` is of another kind than ``shape``; return BAD."""
        # The value of a secret option may be the secret, spelled wrongly: only its absence is told.
        shown = "another kind of value" if holds_secret(shape) else self.shown(value)
        return self.bad(path, f"expected {words(shape)}, got {shown}{hint}")

    def shown(self, value: Any) -> str:
        """Return ``value`` for a message; what came from a reference is never shown."""
        if isinstance(value, ReferencedText):
            return f"another value from {value.source}"
        if self.source:
            return f"another value from {self.source}"
        if isinstance(value, str):
            return f"the text {quoted(value)}"
        if isinstance(value, dict):
            return "an object"
        if isinstance(value, list):
            return "a list"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return f"the number {json_number(value)}" if number else json_text(value)

    def decode(self, shape: inspect.Type, value: Any, path: JsonPath) -> Any:
        """Return what a config holds for ``value``, or BAD with its flaws noted."""
        if value is UNRESOLVED:  # reported where it was resolved
            return BAD
        plain, marks = bare(shape)
        if isinstance(value, ReferencedText) and value.whole and not takes_text(shape):
            return self.from_reference(shape, value, path)
        if marks.get(MARK) == SIZE and isinstance(value, str):
            value = self.size(shape, value, path)
        if value is BAD:
            return BAD
        found = DECODERS[type(plain)](self, shape, plain, value, path)
        if marks.get(MARK) == KEY and found is not BAD:
            return self.key(found)
        return self.file(found) if marks.get(MARK) == FILE and isinstance(found, str) else found

    def from_reference(self, shape: inspect.Type, text: ReferencedText, path: JsonPath) -> Any:
        """Read the text of a lone reference as JSON, for an option that is no text."""
        from flowbus.jsontext import parse

        document = parse(text.encode(errors="surrogatepass"), text.source)
        if document.problems:
            return self.bad(path, f"expected {words(shape)}, got a text from {text.source}")
        if "${file:" in text.source:
            for leaf in _texts(document.value):
                self.redactor.add(leaf)
        self.source, before = text.source, self.source
        try:
            return self.decode(shape, document.value, path)
        finally:
            self.source = before

    def size(self, shape: inspect.Type, text: str, path: JsonPath) -> Any:
        """Return the bytes that a size stands for, or BAD."""
        try:
            return parse_size(text)
        except ValueError:
            return self.unexpected(shape, text, path)

    def file(self, text: str) -> str:
        """Return a path made absolute; a PEM text stays as it is, and a key in it is kept secret."""
        if _INLINE_PEM in text:
            if "PRIVATE KEY" in text:
                self.redactor.add(text)
            return text
        return text if self.base_dir is None or not text else str(self.base_dir / text)

    def key(self, key: str | dict[str, Any]) -> str | dict[str, Any]:
        """Return a key as it is, with what is private in it kept secret; a path is made absolute."""
        if isinstance(key, str) and not is_inline_key(key):
            return self.file(key)
        for part in private_parts(key):
            self.redactor.add(part)
        return key


def json_number(value: float) -> str:
    """Return a number for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:29]}…"


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
