"""The types that a simulated program declares: from the options of a flow file to type entries.

Members are laid out as TwinCAT 3 does: each at the next multiple of its alignment, which is that of
its largest elementary part but no more than the pack mode; the size is rounded up likewise. BITs in
a row share bytes. What has methods starts with a pointer that no member names. Source: Beckhoff Information System, "Alignment" and attribute 'pack_mode'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from flowbus import Config
from flowbus_ads.protocol.codecs import Codec, StringCodec
from flowbus_ads.protocol.constants import TypeId
from flowbus_ads.protocol.errors import UnsupportedTypeError
from flowbus_ads.protocol.signatures import Signature, signature_of
from flowbus_ads.protocol.typeentries import (
    Bound,
    Method,
    Parameter,
    ParameterFlag,
    TypeEntry,
    TypeFlag,
)
from flowbus_ads.protocol.types import codec_for, parse_array, type_id_of
from flowbus_ads.protocol.typetable import TypeTable

POINTER = 8  # bytes; TwinCAT 3 on 64 bits
_ADDRESSES = ("POINTER TO ", "REFERENCE TO ")


class MethodOptions(Config):
    """A method of a simulated function block, which answers every call alike."""

    parameters: Annotated[
        dict[str, str], Meta(description="Inputs by name: their types, in order.")
    ] = field(default_factory=dict)
    outputs: Annotated[
        dict[str, str], Meta(description="Outputs by name: their types, in order.")
    ] = field(default_factory=dict)
    returns: Annotated[str, Meta(description="Type of the result; absent: none.")] = ""
    result: Annotated[Any, Meta(description="The result; zero when absent.")] = None
    gives: Annotated[
        dict[str, Any], Meta(description="Values of outputs by name; zero when absent.")
    ] = field(default_factory=dict)


class TypeOptions(Config):
    """A type of the simulated program: one of `members`, `enum` and `alias`."""

    members: Annotated[
        dict[str, str], Meta(description="A structure or function block: types by member.")
    ] = field(default_factory=dict)
    pack: Annotated[
        Literal[0, 1, 2, 4, 8], Meta(description="Pack mode of the structure, as TwinCAT has it.")
    ] = 8
    enum: Annotated[
        dict[str, int], Meta(description="An enumeration: numbers by name.")
    ] = field(default_factory=dict)
    alias: Annotated[
        str, Meta(description="The type that it is another name of, or the base of an enumeration.")
    ] = ""
    comment: Annotated[str, Meta(description="Comment, as clients see it.")] = ""
    attributes: Annotated[
        dict[str, str], Meta(description="Attributes, as `{attribute 'name' := 'value'}`.")
    ] = field(default_factory=dict)
    methods: Annotated[
        dict[str, MethodOptions], Meta(description="Methods that clients may call, by name.")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.members) + bool(self.enum) + bool(self.alias and not self.enum) != 1:
            raise ValueError("give one of members, enum and alias")
        if self.methods and not self.members:
            raise ValueError("methods: are those of a function block, which has members")


class Program:
    """The types of a program, and every other type that its symbols use, as clients see them."""

    def __init__(self, types: Mapping[str, TypeOptions], encoding: str = "cp1252") -> None:
        """Raises ValueError naming the type that is wrong."""
        self._options = {name.casefold(): (name, options) for name, options in types.items()}
        self._aligned: dict[str, int] = {}
        self._under_way: set[str] = set()
        self._encoding = encoding
        self.table = TypeTable((), encoding)
        for name in types:
            try:
                self.need(name)
                for method in types[name].methods:
                    self.method(name, method)
            except ValueError as error:
                raise ValueError(f"type {name}: {error}") from None

    def codec(self, type_name: str) -> Codec:
        """Return the codec of a type. Raises UnsupportedTypeError."""
        entry = self.need(type_name)
        return self.table.codec(entry.name, entry.size, entry.type_id)

    def method(self, type_name: str, name: str) -> tuple[Signature, bytes] | None:
        """Return how a method of a type is called and what it answers; None where there is none."""
        entry = self.table.structure(type_name)
        if entry is None or entry.name.casefold() not in self._options:
            return None
        for method in entry.methods:
            if method.name.casefold() == name.casefold():
                options = self._options[entry.name.casefold()][1].methods[method.name]
                signature = signature_of(method, self.table)
                return signature, _answer(signature, options)
        return None

    def need(self, type_name: str) -> TypeEntry:
        """Return the entry of a type, made if it is new. Raises UnsupportedTypeError."""
        key = type_name.strip().casefold()
        entry = self.table.get(type_name)
        if entry is None:
            if key in self._under_way:
                raise UnsupportedTypeError(f"{type_name} holds itself")
            self._under_way.add(key)
            try:
                entry, self._aligned[key] = self._make(type_name.strip())
            finally:
                self._under_way.discard(key)
            self.table.add(entry)
        return entry

    def _make(self, name: str) -> tuple[TypeEntry, int]:
        if name.casefold() in self._options:
            declared, options = self._options[name.casefold()]
            return self._declared(declared, options)
        array = parse_array(name)
        if array is not None:
            element = self.need(array.element)
            count = 1
            for dim in array.dims:
                count *= dim
            bounds = tuple(Bound(low, high - low + 1) for low, high in array.bounds)
            entry = TypeEntry(
                name, element.size * count, element.name, 0, element.type_id, bounds=bounds
            )
            return entry, self._alignment(element)
        if name.upper().startswith(_ADDRESSES):
            return TypeEntry(name, POINTER, "", 0, TypeId.BIG), POINTER
        codec = codec_for(name, self._encoding)
        return TypeEntry(name, codec.size, "", 0, type_id_of(name)), _alignment_of(codec)

    def _declared(self, name: str, options: TypeOptions) -> tuple[TypeEntry, int]:
        attributes = tuple(options.attributes.items())
        if options.members:
            return self._structure(name, options, attributes)
        base = self.need(options.alias or "INT")
        entry = TypeEntry(
            name, base.size, base.name, 0, base.type_id, comment=options.comment,
            attributes=attributes, enum=tuple(options.enum.items()),
        )  # fmt: skip
        if options.enum:
            codec = codec_for(base.name)
            for number in options.enum.values():
                codec.encode(number)
        return entry, self._alignment(base)

    def _structure(
        self, name: str, options: TypeOptions, attributes: tuple[tuple[str, str], ...]
    ) -> tuple[TypeEntry, int]:
        pack = max(options.pack, 1)
        members: list[TypeEntry] = []
        # The byte behind the last member, bits used of it, alignment.
        at, bits, largest = (POINTER, 0, min(POINTER, pack)) if options.methods else (0, 0, 1)
        for member, type_name in options.members.items():
            if type_name.strip().upper() == "BIT":
                if bits % 8 == 0:
                    bits, at = 0, at + 1
                offset = 8 * (at - 1) + bits
                members.append(_item(member, 1, "BIT", offset, TypeId.BIT, TypeFlag.BITS))
                bits += 1
                continue
            part = self.need(type_name)
            step = min(self._alignment(part), pack)
            at, bits, largest = -(-at // step) * step, 0, max(largest, step)
            members.append(
                _item(member, part.size, part.name, at, part.type_id, bounds=part.bounds)
            )
            at += part.size
        entry = TypeEntry(
            name, -(-at // largest) * largest, "", 0, TypeId.BIG, comment=options.comment,
            members=tuple(members), attributes=attributes,
            methods=tuple(self._method(name, m) for name, m in options.methods.items()),
        )  # fmt: skip
        return entry, largest

    def _method(self, name: str, options: MethodOptions) -> Method:
        parameters = []
        for flag, types in (
            (ParameterFlag.IN, options.parameters), (ParameterFlag.OUT, options.outputs),
        ):  # fmt: skip
            for parameter, type_name in types.items():
                entry = self.need(type_name)
                parameters.append(
                    Parameter(parameter, entry.name, entry.size, entry.type_id, flag)
                )
        if not options.returns:
            return Method(name, "", 0, 0, tuple(parameters))
        result = self.need(options.returns)
        return Method(name, result.name, result.size, result.type_id, tuple(parameters))

    def _alignment(self, entry: TypeEntry) -> int:
        return self._aligned.get(entry.name.casefold(), 1)


def _answer(signature: Signature, options: MethodOptions) -> bytes:
    """Return what a call answers. Raises EncodeError, a ValueError."""
    values = [options.result] if signature.result is not None else []
    codecs = [signature.result] if signature.result is not None else []
    for name, codec in signature.outputs:
        values.append(options.gives.get(name))
        codecs.append(codec)
    unknown = set(options.gives) - {name for name, _ in signature.outputs}
    if unknown:
        raise ValueError(f"gives: there is no output {sorted(unknown)[0]!r}")
    parts = zip(values, codecs, strict=True)
    return b"".join([bytes(codec.size) if v is None else codec.encode(v) for v, codec in parts])


def _item(
    name: str, size: int, type_name: str, offset: int, type_id: int, flags: int = 0,
    bounds: tuple[Bound, ...] = (),
) -> TypeEntry:  # fmt: skip
    return TypeEntry(
        name, size, type_name, offset, type_id, TypeFlag.DATAITEM | flags, bounds=bounds
    )


def _alignment_of(codec: Codec) -> int:
    """Return the alignment of an elementary type."""
    if isinstance(codec, StringCodec):
        return codec.unit
    return codec.size
