"""What a config type can hold, read from its annotations, and how that is said in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from flowbus.problem import quoted
from flowbus.secrets import Secret
from flowbus.template import Template

#: Marks that special field types leave in ``msgspec.Meta(extra=...)``.
MARK = "flowbus"
SIZE = "size"
FILE = "file"
KEY = "key"
CONNECTION = "flowbus-connection"

#: Name of an option's type in messages, for the types that say no more than that.
_NAMES: dict[type[inspect.Type], str] = {
    inspect.AnyType: "any value",
    inspect.NoneType: "null",
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "a text",
    inspect.StructType: "an object",
    inspect.CustomType: "a text",
}
_CUSTOM = (Secret, Template)
_SHAPES: dict[type, inspect.StructType] = {}
_ARRAYS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)


class Option(msgspec.Struct, frozen=True):
    """One option of a node or connection type, for lists and documentation.

    ``default`` is JSON-like, None where ``required``. ``connection`` is the connection type that
    the option names, ``options`` what an object under this name may have.
    """

    name: str
    type: str
    required: bool
    default: Any
    description: str
    connection: str | None = None
    options: tuple[Option, ...] = ()


def shape_of(config_type: type) -> inspect.StructType:
    """Return the fields of a config type; TypeError where a flow file could not hold one."""
    shape = _SHAPES.get(config_type)
    if shape is None:
        shape = _SHAPES[config_type] = _shape_of(config_type)
    return shape


def _shape_of(config_type: type) -> inspect.StructType:
    try:
        shape = inspect.type_info(config_type)
    except (NameError, TypeError, AttributeError) as error:
        raise TypeError(f"{config_type.__name__}: an annotation cannot be used: {error}") from error
    if not isinstance(shape, inspect.StructType):
        raise TypeError(f"{config_type.__name__} is not a Config")
    _check_struct(shape, set())
    return shape


def _check_struct(shape: inspect.StructType, seen: set[type]) -> None:
    if shape.cls in seen:
        return
    seen.add(shape.cls)
    for field in shape.fields:
        for part in _inside(field.type):
            if isinstance(part, inspect.StructType) and not part.array_like:
                _check_struct(part, seen)
            elif not _is_supported(part):
                kind = part.cls.__name__ if isinstance(part, inspect.CustomType) else _kind(part)
                raise TypeError(
                    f"{shape.cls.__name__}.{field.name}: a flow file cannot hold {kind}; use int, "
                    "float, str, bool, Literal, Enum, list, dict, tuple, set, another Config, "
                    "Secret, Ref, ByteSize, FilePath or Template"
                )


def _is_supported(part: inspect.Type) -> bool:
    if isinstance(part, inspect.CustomType):
        return part.cls in _CUSTOM
    containers = (*_ARRAYS, inspect.TupleType, inspect.DictType, inspect.UnionType)
    others = (inspect.LiteralType, inspect.EnumType, inspect.Metadata, *containers)
    return type(part) in _NAMES or isinstance(part, others)


def _kind(part: inspect.Type) -> str:
    return type(part).__name__.removesuffix("Type")


def _inside(shape: inspect.Type) -> Iterator[inspect.Type]:
    """Yield ``shape`` and the types that it is made of, structs not entered."""
    yield shape
    if isinstance(shape, inspect.Metadata):
        yield from _inside(shape.type)
    elif isinstance(shape, inspect.UnionType):
        for member in shape.types:
            yield from _inside(member)
    elif isinstance(shape, _ARRAYS):
        yield from _inside(shape.item_type)
    elif isinstance(shape, inspect.TupleType):
        for member in shape.item_types:
            yield from _inside(member)
    elif isinstance(shape, inspect.DictType):
        yield from _inside(shape.key_type)
        yield from _inside(shape.value_type)


def bare(shape: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return ``shape`` without its metadata, and the marks that the metadata had."""
    marks: dict[str, Any] = {}
    while isinstance(shape, inspect.Metadata):
        marks |= shape.extra or {}
        shape = shape.type
    return shape, marks


def takes_text(shape: inspect.Type) -> bool:
    """Tell whether a text may stand for this option as it is."""
    shape, marks = bare(shape)
    if isinstance(shape, inspect.UnionType):
        return any(takes_text(member) for member in shape.types)
    if isinstance(shape, inspect.LiteralType):
        return any(isinstance(value, str) for value in shape.values)
    if isinstance(shape, inspect.EnumType):
        return any(isinstance(member.value, str) for member in shape.cls)
    text_types = (inspect.StrType, inspect.AnyType, inspect.CustomType)
    return isinstance(shape, text_types) or marks.get(MARK) == SIZE


def holds_secret(shape: inspect.Type) -> bool:
    """Tell whether the option is a Secret."""
    return any(isinstance(p, inspect.CustomType) and p.cls is Secret for p in _inside(shape))


def words(shape: inspect.Type) -> str:
    """Say what an option takes, as a message says it."""
    shape, marks = bare(shape)
    if CONNECTION in marks:
        return f"the name of a connection of type {marks[CONNECTION]}"
    if marks.get(MARK) == SIZE:
        return 'a size in bytes such as 65536, "64KB" or "1MB"'
    if marks.get(MARK) == FILE:
        return "the path of a file"
    if marks.get(MARK) == KEY:
        return "an object" if isinstance(shape, inspect.DictType) else "a path, PEM or JWK text"
    if isinstance(shape, inspect.LiteralType):
        return _choice(list(shape.values))
    if isinstance(shape, inspect.EnumType):
        return _choice([member.value for member in shape.cls])
    if isinstance(shape, inspect.UnionType):
        members = [m for m in shape.types if not isinstance(m, inspect.NoneType)]
        return _or([words(member) for member in members] or ["null"])
    if isinstance(shape, inspect.DictType):
        return "an object"
    return _NAMES.get(type(shape), "a list")


def _choice(values: list[Any]) -> str:
    return _or([json_text(value) for value in values])


def _or(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def json_text(value: Any) -> str:
    """Return a JSON value on one line, cut where it is long."""
    if isinstance(value, str):
        return quoted(value)
    return msgspec.json.encode(value, enc_hook=_encode).decode()


def _encode(value: Any) -> Any:
    return value.text if isinstance(value, Template) else repr(value)


def broken_limit(plain: Any, value: float) -> str:
    """Say which limit of a number type ``value`` breaks; empty where none."""
    low, high = plain.ge, plain.le
    if low is not None and high is not None and not low <= value <= high:
        return f"must be from {low} to {high}"
    if low is not None and value < low:
        return f"must be at least {low}"
    if high is not None and value > high:
        return f"must be at most {high}"
    if plain.gt is not None and value <= plain.gt:
        return f"must be greater than {plain.gt}"
    if plain.lt is not None and value >= plain.lt:
        return f"must be less than {plain.lt}"
    if plain.multiple_of and value % plain.multiple_of:
        return f"must be a multiple of {plain.multiple_of}"
    return ""


def options(config_type: type) -> tuple[Option, ...]:
    """Return the options of a config type as declared, those first that have to be given."""
    return _options(shape_of(config_type), ())


def _options(shape: inspect.StructType, above: tuple[type, ...]) -> tuple[Option, ...]:
    fields = sorted(shape.fields, key=lambda field: not field.required)
    return tuple(_option(field, (*above, shape.cls)) for field in fields)


def _option(field: inspect.Field, above: tuple[type, ...]) -> Option:
    parts = [*_inside(field.type)]
    described = [p.extra_json_schema for p in parts if isinstance(p, inspect.Metadata)]
    connections = [bare(part)[1].get(CONNECTION) for part in parts]
    structs = [p for p in parts if isinstance(p, inspect.StructType) and p.cls not in above]
    return Option(
        name=field.encode_name,
        type=_long_words(field.type),
        required=field.required,
        default=default_of(field),
        description=next((d["description"] for d in described if d and "description" in d), ""),
        connection=next((name for name in connections if name), None),
        options=_options(structs[0], above) if structs else (),
    )


def _long_words(shape: inspect.Type) -> str:
    plain, _ = bare(shape)
    if isinstance(plain, _ARRAYS):
        return f"a list, each {words(plain.item_type)}"
    if isinstance(plain, inspect.DictType):
        return f"an object, each value {words(plain.value_type)}"
    limits = _limits(plain)
    return f"{words(shape)} ({limits})" if limits else words(shape)


def _limits(shape: inspect.Type) -> str:
    if not isinstance(shape, inspect.IntType | inspect.FloatType):
        return ""
    named = {"≥": shape.ge, ">": shape.gt, "≤": shape.le, "<": shape.lt}
    return ", ".join(f"{sign} {limit}" for sign, limit in named.items() if limit is not None)


def default_of(field: inspect.Field) -> Any:
    """Return the default of a field as JSON would have it; None for a required one."""
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return None
    return msgspec.to_builtins(value, enc_hook=_encode)
