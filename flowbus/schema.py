"""JSON Schema of the flow file with the installed types, for editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import inspect

from flowbus.check import Registry
from flowbus.config import Config
from flowbus.flowkeys import NAME, VERSION, ConnectionKeys, NodeKeys, TopKeys, WireKeys
from flowbus.secrets import Secret
from flowbus.shape import CONNECTION, FILE, KEY, MARK, SIZE, bare, default_of, shape_of

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAME = f"^{NAME.pattern}$"
_START = rf"^({NAME.pattern}(\..+)?|\*\.(error|status))$"
_SIZE = r"^\s*[0-9]{1,15}(\.[0-9]{1,6})?\s*([KMGTkmgt]([Ii]?[Bb])?|[Bb])?\s*$"
_REFERENCE = {
    "description": "A reference that gives a value of this kind: ${env:NAME} or ${file:PATH}.",
    "type": "string",
    "pattern": r"^\$\{(env:[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?|file:[^{}]+)\}$",
}
_WITH_REFERENCE = {
    "description": "A text with ${env:NAME} or ${file:PATH} in it.",
    "type": "string",
    "pattern": r"\$\{",
}
_ARRAYS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
_PLAIN = {inspect.AnyType: {}, inspect.NoneType: {"type": "null"}}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


def flow_schema(registry: Registry) -> Schema:
    """Return the schema; every type of ``registry`` that loads is in it."""
    return _Writer().flow(registry)


class _Writer:
    """Writes schemas, structs once each under ``$defs``."""

    def __init__(self) -> None:
        self.defs: Schema = {"reference": _REFERENCE, "text-with-reference": _WITH_REFERENCE}
        self.structs: dict[type, str] = {}

    def flow(self, registry: Registry) -> Schema:
        connections, nodes = [*_loaded(registry.connections)], [*_loaded(registry.nodes)]
        schema = self.struct(shape_of(TopKeys))
        parts = schema["properties"]
        parts["flowbus"] |= {"const": VERSION}
        parts["name"] = {**parts["name"], "anyOf": [{"type": "null"}, _named(), _WITH_REFERENCE]}
        self.entries(parts["connections"], "connection", ConnectionKeys, connections)
        self.entries(parts["nodes"], "node", NodeKeys, nodes)
        self.defs["wire"] = self.wire()
        parts["wires"] |= {"type": "array", "items": {"$ref": "#/$defs/wire"}}
        parts["wires"].pop("anyOf", None)
        title = {"$schema": DIALECT, "title": "flowbus flow file"}
        return {**title, **schema, "$defs": self.defs}

    def entries(
        self, part: Schema, kind: str, keys: type[Config], types: list[tuple[str, Any]]
    ) -> None:
        """Let ``part`` hold named nodes or connections of these types."""
        part.pop("anyOf", None)
        ref = {"$ref": f"#/$defs/{kind}"}
        part |= {"type": "object", "propertyNames": _named(), "additionalProperties": ref}
        cases = [self.case(kind, name, keys, found) for name, found in types]
        one = {"properties": {"type": {"enum": [name for name, _ in types]}}, "allOf": cases}
        either: Schema = {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"type": "string"}},
        }
        if kind == "node":  # what is disabled is not looked at
            head = self.struct(shape_of(keys))["properties"]
            off = {"properties": {"disabled": {"const": True}}, "required": ["disabled"]}
            either |= {"properties": head, "if": off, "else": one}
        else:
            either |= one
        self.defs[kind] = either

    def case(self, kind: str, name: str, keys: type[Config], found: Any) -> Schema:
        schema = self.struct(shape_of(found.config_type))
        head = self.struct(shape_of(keys))
        head["properties"]["type"] = {"const": name, "description": found.summary}
        schema["properties"] = {**schema["properties"], **head["properties"]}
        schema["required"] = ["type", *schema.get("required", ())]
        if found.summary:
            schema["description"] = found.summary
        self.defs[f"{kind}:{name}"] = schema
        test = {"properties": {"type": {"const": name}}, "required": ["type"]}
        return {"if": test, "then": {"$ref": f"#/$defs/{_pointer(f'{kind}:{name}')}"}}

    def wire(self) -> Schema:
        long = self.struct(shape_of(WireKeys))
        start = long["properties"]["from"] | {"pattern": _START}
        end = long["properties"]["to"] | {"pattern": _NAME}
        long["properties"] |= {"from": start, "to": end}
        short = {"prefixItems": [start, end], "minItems": 2, "maxItems": 2}
        return {
            "description": "[from, to], or an object with these and options.",
            "type": ["array", "object"],
            "if": {"type": "array"},
            "then": short,
            "else": long,
        }

    def struct(self, shape: inspect.StructType) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {f.encode_name: self.field(f) for f in shape.fields},
        }
        if shape.tag_field is not None:
            schema["properties"][shape.tag_field] = {"const": shape.tag}
        required = [field.encode_name for field in shape.fields if field.required]
        if shape.tag_field is not None:
            required.append(shape.tag_field)
        if required:
            schema["required"] = required
        if shape.forbid_unknown_fields:
            schema["additionalProperties"] = False
        return schema

    def field(self, field: inspect.Field) -> Schema:
        schema = dict(self.option(field.type))
        if not field.required:
            default = default_of(field)
            if default is not None and default != "***":
                schema["default"] = default
        return schema

    def option(self, shape: inspect.Type) -> Schema:
        """Return the schema of an option; what is no plain text may be a reference as well."""
        plain, marks = bare(shape)
        schema = self.plain(plain, marks)
        extra = _extra(shape)
        if not _takes_any_text(plain, marks):
            alternatives = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
            schema = {"anyOf": [*alternatives, {"$ref": f"#/$defs/{_reference_for(plain)}"}]}
        return {**schema, **extra}

    def plain(self, shape: inspect.Type, marks: Mapping[str, Any]) -> Schema:
        if marks.get(MARK) == SIZE:
            return {"anyOf": [_number(shape, "integer"), {"type": "string", "pattern": _SIZE}]}
        if isinstance(shape, inspect.UnionType):
            return self.union(shape)
        if isinstance(shape, inspect.StructType):
            return self.struct_ref(shape)
        if isinstance(shape, _ARRAYS):
            return {
                "type": "array",
                "items": self.option(shape.item_type),
                **_sizes(shape, "Items"),
            }
        if isinstance(shape, inspect.TupleType):
            items = [self.option(item) for item in shape.item_types]
            return {
                "type": "array", "prefixItems": items, "minItems": len(items),
                "maxItems": len(items),
            }  # fmt: skip
        if isinstance(shape, inspect.DictType):
            return self.dict(shape)
        return _leaf(shape)

    def union(self, shape: inspect.UnionType) -> Schema:
        members: list[Schema] = []
        for member in shape.types:
            plain, marks = bare(member)
            schema = {**self.plain(plain, marks), **_extra(member)}
            members += schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
        return {"anyOf": members}

    def dict(self, shape: inspect.DictType) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": self.option(shape.value_type)}
        keys = _leaf(bare(shape.key_type)[0])
        if keys != {"type": "string"}:
            schema["propertyNames"] = keys
        return {**schema, **_sizes(shape, "Properties")}

    def struct_ref(self, shape: inspect.StructType) -> Schema:
        name = self.structs.get(shape.cls)
        if name is None:
            name = shape.cls.__name__
            if name in self.defs:
                name = f"{shape.cls.__module__}.{shape.cls.__qualname__}"
            self.structs[shape.cls] = name
            self.defs[name] = {}
            self.defs[name] = self.struct(shape)
        return {"$ref": f"#/$defs/{_pointer(name)}"}


def _loaded(types: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in sorted(types):
        try:
            yield name, types[name]
        except KeyError:  # it is installed, but does not load
            continue


def _named() -> Schema:
    return {"type": "string", "pattern": _NAME}


def _pointer(name: str) -> str:
    return quote(name.replace("~", "~0").replace("/", "~1"), safe=":~")


def _extra(shape: inspect.Type) -> Schema:
    extra: Schema = {}
    while isinstance(shape, inspect.Metadata):
        extra = {**(shape.extra_json_schema or {}), **extra}
        shape = shape.type
    return extra


def _takes_any_text(shape: inspect.Type, marks: Mapping[str, Any]) -> bool:
    if isinstance(shape, inspect.UnionType):
        return any(_takes_any_text(*bare(member)) for member in shape.types)
    if isinstance(shape, inspect.StrType):
        free = CONNECTION in marks or marks.get(MARK) in (FILE, KEY)
        return free or _leaf(shape) == {"type": "string"}
    return isinstance(shape, inspect.AnyType | inspect.CustomType)


def _reference_for(shape: inspect.Type) -> str:
    """Name the kind of reference: texts and choices may hold one, other values only be one."""
    shapes: Iterable[inspect.Type] = (
        [bare(member)[0] for member in shape.types]
        if isinstance(shape, inspect.UnionType)
        else [shape]
    )
    texts = (inspect.StrType, inspect.LiteralType, inspect.EnumType)
    found = any(isinstance(member, texts) for member in shapes)
    return "text-with-reference" if found else "reference"


def _leaf(shape: inspect.Type) -> Schema:
    if isinstance(shape, inspect.BoolType):
        return {"type": "boolean"}
    if isinstance(shape, inspect.IntType):
        return _number(shape, "integer")
    if isinstance(shape, inspect.FloatType):
        return _number(shape, "number")
    if isinstance(shape, inspect.StrType):
        pattern = {} if shape.pattern is None else {"pattern": shape.pattern}
        return {"type": "string", **pattern, **_sizes(shape, "Length")}
    if isinstance(shape, inspect.LiteralType):
        return {"enum": [*shape.values]}
    if isinstance(shape, inspect.EnumType):
        return {"enum": [member.value for member in shape.cls]}
    if isinstance(shape, inspect.CustomType):
        return {"type": "string", "writeOnly": True} if shape.cls is Secret else {"type": "string"}
    return dict(_PLAIN[type(shape)])


def _number(shape: inspect.Type, kind: str) -> Schema:
    limits = {_LIMITS[name]: getattr(shape, name) for name in _LIMITS}
    return {"type": kind} | {key: limit for key, limit in limits.items() if limit is not None}


def _sizes(shape: Any, unit: str) -> Schema:
    sizes = {f"min{unit}": shape.min_length, f"max{unit}": shape.max_length}
    return {key: size for key, size in sizes.items() if size is not None}
