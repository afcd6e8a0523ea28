"""How each kind of option is decoded: one function a kind, a table of all of them.

Each takes the run that collects the flaws, the shape with and without its metadata, the value and
its path, and returns what the config holds or :data:`BAD`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import inspect

from flowbus.problem import Flaw, JsonPath, listed, near, quoted
from flowbus.secrets import ReferencedText, Secret
from flowbus.shape import CONNECTION, bare, broken_limit, json_text, takes_text, words
from flowbus.template import Template

if TYPE_CHECKING:
    from flowbus.decode import Run

#: Stands for a value that could not be decoded; its flaws are in the run.
BAD: Any = object()

_INTEGERS = range(-(1 << 63), 1 << 64)


def _any(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        items = {key: run.decode(plain, item, (*path, key)) for key, item in value.items()}
        return BAD if any(item is BAD for item in items.values()) else items
    if isinstance(value, list):
        return _all([run.decode(plain, item, (*path, i)) for i, item in enumerate(value)])
    return value


def _all(items: list[Any]) -> Any:
    return BAD if any(item is BAD for item in items) else items


def _exact(kind: type) -> Callable[..., Any]:
    def check(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
        return value if isinstance(value, kind) else run.unexpected(shape, value, path)

    return check


def _int(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return run.unexpected(shape, value, path)
    if value not in _INTEGERS:
        return run.bad(path, f"{run.shown(value)} does not fit 64 bits")
    return _in_range(run, plain, value, path)


def _float(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if type(value) not in (int, float):
        return run.unexpected(shape, value, path)
    try:
        return _in_range(run, plain, float(value), path, value)
    except OverflowError:
        return run.bad(path, f"{run.shown(value)} is too large")


def _in_range(run: Run, plain: Any, value: float, path: JsonPath, shown: Any = None) -> Any:
    broken = broken_limit(plain, value)
    if not broken:
        return value
    return run.bad(path, f"{broken}, got {run.shown(value if shown is None else shown)}")


def _str(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, str):
        return run.unexpected(shape, value, path)
    if plain.pattern is not None and not re.search(plain.pattern, value):
        return run.bad(path, f"must match the pattern {plain.pattern}, got {run.shown(value)}")
    if CONNECTION in bare(shape)[1] and not value:
        return run.unexpected(shape, value, path)
    return _fits(run, plain, str(value), value, path, "characters")


def _fits(run: Run, plain: Any, found: Any, value: Any, path: JsonPath, unit: str) -> Any:
    size = len(value)
    if plain.min_length is not None and size < plain.min_length:
        if size == 0 and plain.min_length == 1:
            return run.bad(path, "must not be empty")
        return run.bad(path, f"needs at least {plain.min_length} {unit}, has {size}")
    if plain.max_length is not None and size > plain.max_length:
        return run.bad(path, f"takes at most {plain.max_length} {unit}, has {size}")
    return found


def _custom(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, str):
        return run.unexpected(shape, value, path)
    if plain.cls is Secret:
        run.redactor.add(value)
        return Secret(value)
    try:
        return Template(str(value))
    except ValueError as error:
        return run.bad(path, str(error))


def _literal(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
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


def _array(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, list):
        return run.unexpected(shape, value, path)
    items = _all([run.decode(plain.item_type, v, (*path, i)) for i, v in enumerate(value)])
    if items is BAD:
        return BAD
    return _fits(run, plain, _COLLECTIONS[type(plain)](items), value, path, "items")


def _tuple(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, list):
        return run.unexpected(shape, value, path)
    if len(value) != len(plain.item_types):
        return run.bad(path, f"needs exactly {len(plain.item_types)} items, has {len(value)}")
    pairs = zip(plain.item_types, value, strict=True)
    items = _all([run.decode(kind, v, (*path, i)) for i, (kind, v) in enumerate(pairs)])
    return items if items is BAD else tuple(items)


def _dict(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, dict):
        return run.unexpected(shape, value, path)
    keys = [run.decode(plain.key_type, key, (*path, key)) for key in value]
    items = [run.decode(plain.value_type, item, (*path, key)) for key, item in value.items()]
    if _all(keys + items) is BAD:
        return BAD
    return _fits(run, plain, dict(zip(keys, items, strict=True)), value, path, "entries")


def _union(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    """Take the first member that fits ``value``; else keep the flaws of the one of its kind."""
    members = [member for member in plain.types if _fits_kind(member, value)]
    before = len(run.flaws)
    kept: list[Flaw] = []
    for member in members:
        found = run.decode(member, value, path)
        if found is not BAD:
            del run.flaws[before:]
            return found
        kept = kept or run.flaws[before:]
        del run.flaws[before:]
    if not members and isinstance(value, dict) and (tagged := _tags(plain)):
        field, tags = tagged
        found = run.shown(value[field]) if field in value else "nothing"
        return run.bad((*path, field), f"expected {listed(map(json_text, tags))}, got {found}")
    vague = all(flaw.path == path and flaw.text.startswith("expected ") for flaw in kept)
    if vague or (len(members) > 1 and not isinstance(value, dict)):
        return run.unexpected(shape, value, path)
    run.flaws += kept
    return BAD


def _tags(plain: inspect.UnionType) -> tuple[str, list[Any]] | None:
    """Return the key that tells the structs of a union apart, and its values."""
    structs = [m for m, _ in map(bare, plain.types) if isinstance(m, inspect.StructType)]
    fields = [struct.tag_field for struct in structs if struct.tag_field is not None]
    return (fields[0], [struct.tag for struct in structs]) if fields else None


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
        if isinstance(plain, inspect.StructType) and plain.tag_field is not None:
            return bool(value.get(plain.tag_field) == plain.tag)
        return isinstance(plain, inspect.StructType | inspect.DictType)
    if isinstance(value, list):
        return type(plain) in _COLLECTIONS or isinstance(plain, inspect.TupleType)
    numbers = (inspect.IntType, inspect.FloatType, inspect.LiteralType, inspect.EnumType)
    return isinstance(plain, numbers)


def _struct(run: Run, shape: inspect.Type, plain: Any, value: Any, path: JsonPath) -> Any:
    if not isinstance(value, dict):
        return run.unexpected(shape, value, path)
    before = len(run.flaws)
    if not _tag_fits(run, plain, value, path):
        return BAD
    _unknown_keys(run, plain, value, path)
    fields: dict[str, Any] = {}
    failed = False
    for field in plain.fields:
        where = (*path, field.encode_name)
        if field.encode_name in value:
            found = run.decode(field.type, value[field.encode_name], where)
            failed |= found is BAD
            fields[field.name] = found
        elif field.required:
            run.bad(where, f"missing: {words(field.type)} is needed here")
    return BAD if failed or len(run.flaws) > before else _build(run, plain.cls, fields, path)


def _tag_fits(run: Run, plain: inspect.StructType, value: dict[str, Any], path: JsonPath) -> bool:
    name = plain.tag_field
    if name is None or value.get(name) == plain.tag:
        return True
    run.bad((*path, name), f"expected {json_text(plain.tag)}, got {run.shown(value.get(name))}")
    return False


def _unknown_keys(
    run: Run, plain: inspect.StructType, value: dict[str, Any], path: JsonPath
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


def _build(run: Run, cls: type, fields: dict[str, Any], path: JsonPath) -> Any:
    try:
        return cls(**fields)
    except ValueError as error:
        option, _, text = str(error).partition(": ")
        if text and option in fields:  # the text names the option, as it should: point at it
            return run.bad((*path, option), text)
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
DECODERS: dict[type, Callable[..., Any]] = {
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
