"""Codecs of what a PLC program declares itself: structures, function blocks, enumerations.

A structure is a JSON object of its members, in the order of the PLC; what lies between them is zero
when it is written as a whole. Where a member lies is what the PLC's own table says, so every pack
mode is right by itself. A BIT is one bit of its structure and true or false in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final

import msgspec

from flowbus_ads.protocol.codecs import BoolCodec, Codec, IntegerCodec
from flowbus_ads.protocol.errors import DecodeError, EncodeError

_MOST_PADDING: Final = 7
"""Bytes; the largest alignment is 8."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """Where a member lies in its structure: ``offset`` in bytes, and for a BIT its number there."""

    name: str
    offset: int
    codec: Codec
    bit: int | None = None


class StructCodec:
    """A structure of ``size`` bytes, or the data of a function block.

    ``has_hidden_parts`` is True where some of its bytes belong to no member and are more than padding,
    as the pointer to its methods in a function block: it is then never encoded as a whole, which
    would make them zero. ``has_methods`` says so of what shows it in no other way. ``is_union``: members
    share bytes, so that they have to agree where an object gives several.
    """

    def __init__(
        self, name: str, size: int, members: Sequence[Member], *, has_methods: bool = False
    ) -> None:
        self.name, self.size = name, size
        spans = sorted(_span(member) for member in members)
        self.has_hidden_parts = has_methods or _has_gap(size, spans)
        self.members: Mapping[str, Member] = {member.name: member for member in members}
        self._by_any_case = {member.name.casefold(): member for member in members}
        self._bits = [member for member in members if member.bit is not None]
        whole = sorted(_span(member) for member in members if member.bit is None)
        self.is_union = any(end > start for (_, end), (start, _) in pairwise(whole))
        self._parts = [
            (member.name, member.offset, member.offset + member.codec.size, member.codec.decode)
            for member in members
        ]

    def decode(self, data: bytes) -> dict[str, Any]:
        """Return the members by name."""
        if len(data) != self.size:
            text = f"{self.name} has {self.size} bytes, the PLC sent {len(data)}"
            raise DecodeError(text)
        value = {name: decode(data[at:end]) for name, at, end, decode in self._parts}
        for member in self._bits:
            assert member.bit is not None
            value[member.name] = bool(data[member.offset] >> member.bit & 1)
        return value

    def encode(self, value: Any) -> bytes:
        """Return the bytes of an object that has every member. Raises EncodeError."""
        if self.has_hidden_parts:
            text = f"{self.name} has parts that its table does not name; write its members by name"
            raise EncodeError(text)
        given = self.named(value)
        missing = [name for name in self.members if name not in given]
        if missing and self.is_union:
            raise EncodeError(f"{self.name}: its members share bytes; give one of them, or all")
        if missing:
            raise EncodeError(f"{self.name} needs {_listed(missing)} too")
        data = bytearray(self.size)
        parts: list[tuple[Member, bytes]] = []
        for name, part in given.items():
            member = self.members[name]
            try:
                encoded = member.codec.encode(part)
            except EncodeError as error:
                raise EncodeError(f"{name} of {self.name}: {error}") from None
            if member.bit is None:
                data[member.offset : member.offset + member.codec.size] = encoded
            else:
                data[member.offset] |= encoded[0] << member.bit
            parts.append((member, encoded))
        if self.is_union:
            self._agree(bytes(data), parts)
        return bytes(data)

    def _agree(self, data: bytes, parts: Sequence[tuple[Member, bytes]]) -> None:
        for member, encoded in parts:
            if member.bit is None and data[member.offset :][: len(encoded)] != encoded:
                text = f"{self.name}: its members share bytes and do not agree; give one of them"
                raise EncodeError(text)

    def named(self, value: Any) -> dict[str, Any]:
        """Return the members that ``value`` gives, under the names of the PLC. Raises EncodeError."""
        if not isinstance(value, Mapping):
            text = f"{value!r:.60} is no object of members, which {self.name} needs"
            raise EncodeError(text)
        given: dict[str, Any] = {}
        for key, part in value.items():
            member = self._by_any_case.get(str(key).casefold())
            if member is None:
                near = get_close_matches(str(key), self.members, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise EncodeError(f"{self.name} has no member {key!r}{hint}")
            if member.name in given:
                raise EncodeError(f"{self.name}: {member.name!r} is there twice")
            given[member.name] = part
        return given


class EnumCodec:
    """An enumeration: a number, or with ``by_name`` its name where the number has one.

    Both are taken when it is written; a number need not have a name.
    """

    def __init__(
        self, name: str, base: IntegerCodec, values: Sequence[tuple[str, int]], *, by_name: bool
    ) -> None:
        self.name, self.size = name, base.size
        self.values: Mapping[str, int] = dict(values)
        self._base, self._by_name = base, by_name
        self._numbers = {text.casefold(): number for text, number in values}
        self._names = {number: text for text, number in reversed(values)}

    def decode(self, data: bytes) -> int | str:
        """Return the number, or the name."""
        number = self._base.decode(data)
        return self._names.get(number, number) if self._by_name else number

    def encode(self, value: Any) -> bytes:
        """Return the bytes of a number or a name; the name may come with its type, as ``E_Mode.Run``."""
        if not isinstance(value, str):
            return self._base.encode(value)
        short = value.removeprefix(f"{self.name}.")
        number = self._numbers.get(short.casefold())
        if number is None:
            raise EncodeError(f"{self.name} has no {value!r}, but {_listed(list(self.values))}")
        return self._base.encode(number)


class BitCodec(BoolCodec):
    """A BIT inside a structure, which :class:`StructCodec` puts in its place."""

    size = 0

    def decode(self, data: bytes) -> bool:
        """Return False: a bit has no bytes of its own."""
        return False


def _has_gap(size: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether bytes that no member has are more than what alignment makes: 7 at most, never first."""
    at = 0
    for start, end in spans:
        if start - at > _MOST_PADDING or (start and not at):
            return True
        at = max(at, end)
    return size - at > _MOST_PADDING


def _span(member: Member) -> tuple[int, int]:
    return member.offset, member.offset + (member.codec.size if member.bit is None else 1)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
