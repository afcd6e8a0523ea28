"""Turn the options of a flow file into a config, strictly, and say everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import inspect

from flowbus.problem import Flaw, JsonPath, listed, near, quoted
from flowbus.secrets import UNRESOLVED, Redactor, ReferencedText, Secret
from flowbus.shape import (
    CONNECTION,
    FILE,
    MARK,
    SIZE,
    bare,
    broken_limit,
    holds_secret,
    json_text,
    shape_of,
    takes_text,
    words,
)
from flowbus.template import Template

T = TypeVar("T")

_BAD: Any = object()
_INTEGERS = range(-(1 << 63), 1 << 64)
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
    run = _Run(base_dir, redactor or Redactor(), other_keys)
    value = run.decode(shape_of(config_type), raw, ())
    flaws = [flaw._replace(text=run.redactor.redact(flaw.text)) for flaw in run.flaws]
    return (None if value is _BAD else value), flaws


def parse_size(text: str) -> int:
    """Bytes of ``"1024"``, ``"64KB"``, ``"1.5 MiB"``; a K is 1024 with or without the i."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a size")
    number, unit = match.groups(default="")
    return int(float(number) * 1024 ** _POWERS[unit.upper()])


class _Run:
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
        self.flaws.append(Flaw(path, text, at_key))
        return _BAD

    def unexpected(self, shape: inspect.Type, value: Any, path: JsonPath, hint: str = "") -> Any:
        # The value of a secret option may be the secret, spelled wrongly: only its absence is told.
        shown = "another kind of value" if holds_secret(shape) else self.shown(value)
        return self.bad(path, f"expected {words(shape)}, got {shown}{hint}")

    def shown(self, value: Any) -> str:
        """``value`` for a message; what came from a reference is never shown."""
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
        if value is UNRESOLVED:  # reported where it was resolved
            return _BAD
        plain, marks = bare(shape)
        if isinstance(value, ReferencedText) and value.whole and not takes_text(shape):
            return self.from_reference(shape, value, path)
        if marks.get(MARK) == SIZE and isinstance(value, str):
            value = self.size(shape, value, path)
        if value is _BAD:
            return _BAD
        found = _DECODERS[type(plain)](self, shape, plain, value, path)
        return self.file(found) if marks.get(MARK) == FILE and isinstance(found, str) else found

    def from_reference(self, shape: inspect.Type, text: ReferencedText, path: JsonPath) -> Any:
        from flowbus.jsontext import parse

        document = parse(text.encode(errors="surrogatepass"), text.source)
        if document.problems:
            return self.bad(path, f"expected {words(shape)}, got a text from {text.source}")
        self.source, before = text.source, self.source
        try:
            return self.decode(shape, document.value, path)
        finally:
            self.source = before

    def size(self, shape: inspect.Type, text: str, path: JsonPath) -> Any:
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


def json_number(value: float) -> str:
    """Return a number for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:29]}…"


def _any(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        items = {key: run.decode(plain, item, (*path, key)) for key, item in value.items()}
        return _BAD if any(item is _BAD for item in items.values()) else items
    if isinstance(value, list):
        return _all([run.decode(plain, item, (*path, i)) for i, item in enumerate(value)])
    return value


def _all(items: list[Any]) -> Any:
    return _BAD if any(item is _BAD for item in items) else items


def _exact(kind: type) -> Callable[..., Any]:
    def check(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
        return value if isinstance(value, kind) else run.unexpected(shape, value, path)

    return check


def _int(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return run.unexpected(shape, value, path)
    if value not in _INTEGERS:
        return run.bad(path, f"{run.shown(value)} does not fit 64 bits")
    return _in_range(run, plain, value, path)


def _float(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if type(value) not in (int, float):
        return run.unexpected(shape, value, path)
    try:
        return _in_range(run, plain, float(value), path, value)
    except OverflowError:
        return run.bad(path, f"{run.shown(value)} is too large")


def _in_range(run: _Run, plain: Any, value: float, path: JsonPath, shown: Any = None) -> Any:
    broken = broken_limit(plain, value)
    if not broken:
        return value
    return run.bad(path, f"{broken}, got {run.shown(value if shown is None else shown)}")


def _str(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, str):
        return run.unexpected(shape, value, path)
    if plain.pattern is not None and not re.search(plain.pattern, value):
        return run.bad(path, f"must match the pattern {plain.pattern}, got {run.shown(value)}")
    if CONNECTION in bare(shape)[1] and not value:
        return run.unexpected(shape, value, path)
    return _fits(run, plain, str(value), value, path, "characters")


def _fits(run: _Run, plain: Any, found: Any, value: Any, path: JsonPath, unit: str) -> Any:
    size = len(value)
    if plain.min_length is not None and size < plain.min_length:
        if size == 0 and plain.min_length == 1:
            return run.bad(path, "must not be empty")
        return run.bad(path, f"needs at least {plain.min_length} {unit}, has {size}")
    if plain.max_length is not None and size > plain.max_length:
        return run.bad(path, f"takes at most {plain.max_length} {unit}, has {size}")
    return found


def _custom(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, str):
        return run.unexpected(shape, value, path)
    if plain.cls is Secret:
        run.redactor.add(value)
        return Secret(value)
    try:
        return Template(str(value))
    except ValueError as error:
        return run.bad(path, str(error))


def _literal(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if isinstance(plain, inspect.EnumType):
        choices = {member.value: member for member in plain.cls}
    else:
        choices = {choice: choice for choice in plain.values}
    try:
        if type(value) in (str, ReferencedText, int, type(None)) and value in choices:
            return choices[value]
    except TypeError:
        pass
    texts = [choice for choice in choices if isinstance(choice, str)]
    hint = near(value, texts) if type(value) is str and not run.source else ""
    return run.unexpected(shape, value, path, hint)


def _array(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, list):
        return run.unexpected(shape, value, path)
    items = _all([run.decode(plain.item_type, v, (*path, i)) for i, v in enumerate(value)])
    if items is _BAD:
        return _BAD
    return _fits(run, plain, _COLLECTIONS[type(plain)](items), value, path, "items")


def _tuple(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, list):
        return run.unexpected(shape, value, path)
    if len(value) != len(plain.item_types):
        return run.bad(path, f"needs exactly {len(plain.item_types)} items, has {len(value)}")
    pairs = zip(plain.item_types, value, strict=True)
    items = _all([run.decode(kind, v, (*path, i)) for i, (kind, v) in enumerate(pairs)])
    return items if items is _BAD else tuple(items)


def _dict(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, dict):
        return run.unexpected(shape, value, path)
    keys = [run.decode(plain.key_type, key, (*path, key)) for key in value]
    items = [run.decode(plain.value_type, item, (*path, key)) for key, item in value.items()]
    if _all(keys + items) is _BAD:
        return _BAD
    return _fits(run, plain, dict(zip(keys, items, strict=True)), value, path, "entries")


def _union(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    """Take the first member that fits ``value``; else keep the flaws of the one of its kind."""
    members = [member for member in plain.types if _fits_kind(member, value)]
    before = len(run.flaws)
    kept: list[Flaw] = []
    for member in members:
        found = run.decode(member, value, path)
        if found is not _BAD:
            del run.flaws[before:]
            return found
        kept = kept or run.flaws[before:]
        del run.flaws[before:]
    if not members or (len(members) > 1 and not isinstance(value, dict)):
        return run.unexpected(shape, value, path)
    run.flaws += kept
    return _BAD


def _fits_kind(member: inspect.Type, value: Any) -> bool:
    plain, _ = bare(member)
    if isinstance(plain, inspect.AnyType):
        return True
    if isinstance(value, str):
        return takes_text(member)
    if isinstance(value, bool):
        return isinstance(plain, inspect.BoolType)
    if value is None:
        return isinstance(plain, inspect.NoneType)
    if isinstance(value, dict):
        return isinstance(plain, inspect.StructType | inspect.DictType)
    if isinstance(value, list):
        return type(plain) in _COLLECTIONS or isinstance(plain, inspect.TupleType)
    numbers = (inspect.IntType, inspect.FloatType, inspect.LiteralType, inspect.EnumType)
    return isinstance(plain, numbers)


def _struct(run: _Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, dict):
        return run.unexpected(shape, value, path)
    before = len(run.flaws)
    if not _tag_fits(run, plain, value, path):
        return _BAD
    _unknown_keys(run, plain, value, path)
    fields: dict[str, Any] = {}
    failed = False
    for field in plain.fields:
        where = (*path, field.encode_name)
        if field.encode_name in value:
            found = run.decode(field.type, value[field.encode_name], where)
            failed |= found is _BAD
            fields[field.name] = found
        elif field.required:
            run.bad(where, f"missing: {words(field.type)} is needed here")
    return _BAD if failed or len(run.flaws) > before else _build(run, plain.cls, fields, path)


def _tag_fits(run: _Run, plain: inspect.StructType, value: dict[str, Any], path: JsonPath) -> bool:
    name = plain.tag_field
    if name is None or value.get(name) == plain.tag:
        return True
    run.bad((*path, name), f"expected {json_text(plain.tag)}, got {run.shown(value.get(name))}")
    return False


def _unknown_keys(
    run: _Run, plain: inspect.StructType, value: dict[str, Any], path: JsonPath
) -> None:
    if not plain.forbid_unknown_fields:
        return
    known = [field.encode_name for field in plain.fields]
    others = run.other_keys if not path else ()
    for key in value:
        if key not in known and key != plain.tag_field:
            end = f"; known: {listed(known)}" if known else "; there are no options here"
            text = f"unknown option {quoted(key)}{near(key, [*known, *others])}{end}"
            run.bad((*path, key), text, at_key=True)


def _build(run: _Run, cls: type, fields: dict[str, Any], path: JsonPath) -> Any:
    try:
        return cls(**fields)
    except ValueError as error:
        return run.bad(path, str(error))
    except Exception as error:  # noqa: BLE001 - a plugin's own check broke: its name must be told
        kind = type(error).__name__
        return run.bad(path, f"{cls.__name__} cannot check its options: {kind}: {error}")


_COLLECTIONS: dict[type, Callable[[list[Any]], Any]] = {
    inspect.ListType: list,
    inspect.SetType: set,
    inspect.FrozenSetType: frozenset,
    inspect.VarTupleType: tuple,
}
_DECODERS: dict[type, Callable[..., Any]] = {
    inspect.AnyType: _any,
    inspect.NoneType: _exact(type(None)),
    inspect.BoolType: _exact(bool),
    inspect.IntType: _int,
    inspect.FloatType: _float,
    inspect.StrType: _str,
    inspect.CustomType: _custom,
    inspect.LiteralType: _literal,
    inspect.EnumType: _literal,
    inspect.UnionType: _union,
    inspect.TupleType: _tuple,
    inspect.DictType: _dict,
    inspect.StructType: _struct,
    **dict.fromkeys(_COLLECTIONS, _array),
}
