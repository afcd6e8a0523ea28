"""The symbols that a client knows: type and handle by name, asked for by sum and kept until stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import trio

from flowbus import Rejected
from flowbus_ads import faults
from flowbus_ads.addresses import IndexAddress, Key
from flowbus_ads.errors import AdsError, Refusal, understood
from flowbus_ads.protocol import commands, sums
from flowbus_ads.protocol.codecs import BytesCodec, Codec
from flowbus_ads.protocol.constants import UNSUPPORTED, ErrorCode, Group
from flowbus_ads.protocol.errors import DecodeError, EncodeError, UnsupportedTypeError
from flowbus_ads.protocol.symbols import SymbolEntry, parse_entry, parse_upload_info
from flowbus_ads.protocol.typeentries import TypeEntry, parse_types
from flowbus_ads.protocol.types import codec_for, codec_of_entry
from flowbus_ads.protocol.typetable import TypeTable
from flowbus_ads.target import Target

_NAMES_A_REQUEST: Final = 50
"""So many names are sent, and their answers understood, before other tasks have their turn."""
_INFO_ROOM: Final = 24
_ENTRY_ROOM: Final = 1024
_MOST_ENTRY_ROOM: Final = 0xFFFF


class Symbol:
    """A value in the PLC: where it is read and written, and how its bytes are understood."""

    __slots__ = ("codec", "entry", "group", "key", "name", "offset", "read_item")

    def __init__(
        self, key: Key, group: int, offset: int, codec: Codec, entry: SymbolEntry | None
    ) -> None:
        self.key, self.name = key, str(key)
        self.group, self.offset, self.codec, self.entry = group, offset, codec, entry
        #: Group, offset and length.
        self.read_item: sums.ReadItem = (group, offset, codec.size)

    @property
    def by_handle(self) -> bool:
        """True where a handle stands for the name, which an online change makes stale."""
        return self.group == Group.SYM_VALUE_BY_HANDLE

    @property
    def may_move(self) -> bool:
        """True where an address stands for a name, without a handle that would be refused then."""
        return isinstance(self.key, str) and not self.by_handle

    def encoded(self, value: Any) -> bytes:
        """Return the bytes of a value. Raises Rejected when it does not fit."""
        try:
            return self.codec.encode(value)
        except EncodeError as error:
            raise Rejected(faults.BAD_VALUE, f"{self.name}: {error}") from None

    def decoded(self, answer: bytes | Refusal) -> Any:
        """Return the value of an answer, or the Rejected that it comes to."""
        if isinstance(answer, Refusal):
            return AdsError(answer, f"read {self.name}")
        try:
            return self.codec.decode(answer)
        except DecodeError as error:
            return Rejected(faults.BAD_ANSWER, f"{self.name}: {error}")


Found = Symbol | Rejected


class SymbolTable:
    """Symbols by key, for one target."""

    def __init__(self, target: Target, encoding: str, *, enum_names: bool = False) -> None:
        self._target, self._encoding, self._enum_names = target, encoding, enum_names
        self._known: dict[Key, Symbol] = {}
        self._types: TypeTable | None = None
        self._asking = trio.Lock()

    def get(self, key: Key) -> Symbol | None:
        """Return a symbol that is known."""
        return self._known.get(key)

    def get_all(self, keys: Sequence[Key]) -> list[Symbol] | None:
        """Return the symbols of all keys, None where one is not known."""
        known = self._known
        try:
            return [known[key] for key in keys]
        except KeyError:
            return None

    def get_to_write(self, key: Key) -> Symbol | None:
        """Return a symbol that is known, unless its address may have moved: that is asked for again."""
        symbol = self._known.get(key)
        if symbol is None or not symbol.may_move:
            return symbol
        self.forget(symbol)
        return None

    def forget(self, symbol: Symbol) -> None:
        """Ask anew when it is needed again, as its handle is stale."""
        if self._known.get(symbol.key) is symbol:
            del self._known[symbol.key]

    def forget_all(self) -> None:
        """Ask anew for every name, also where an address stands for it: that may have moved."""
        self._known = {k: s for k, s in self._known.items() if not isinstance(k, str)}
        self._types = None

    def handles(self) -> list[int]:
        """Return the handles that the target holds for this client."""
        return [symbol.offset for symbol in self._known.values() if symbol.by_handle]

    async def find(self, key: Key) -> Symbol:
        """Return the symbol of ``key``. Raises AdsError or Rejected when there is none, Lost."""
        symbol = self._known.get(key) or (await self.find_all([key]))[key]
        if isinstance(symbol, Rejected):
            raise symbol
        return symbol

    async def entry(self, name: str) -> SymbolEntry:
        """Return what the target says about a symbol. Raises AdsError, Lost."""
        text = name.encode("cp1252", "replace") + b"\0"
        where = f"symbol {name}"
        data = await self._target.read_write(
            Group.SYM_INFO_BY_NAME_EX, 0, _MOST_ENTRY_ROOM, text, where
        )
        with understood(where):
            return parse_entry(data)[0]

    async def find_all(self, keys: Iterable[Key]) -> Mapping[Key, Found]:
        """Return the symbol of each key, or why there is none; a few requests for all of them."""
        found: dict[Key, Found] = {}
        async with self._asking:
            names: list[str] = []
            for key in dict.fromkeys(keys):
                known = self._known.get(key)
                if known is not None:
                    found[key] = known
                elif isinstance(key, str):
                    names.append(key)
                else:
                    found[key] = self._by_index(key)
            for at in range(0, len(names), _NAMES_A_REQUEST):
                found.update(await self._ask(names[at : at + _NAMES_A_REQUEST]))
        return found

    def _by_index(self, address: IndexAddress) -> Found:
        codec: Codec
        if address.type is None:
            codec = BytesCodec(address.length or 0)
        else:
            try:
                codec = codec_for(address.type, self._encoding)
            except UnsupportedTypeError as error:
                return Rejected(faults.UNSUPPORTED_TYPE, f"{address}: {error}")
        symbol = Symbol(address, address.group, address.offset, codec, None)
        self._known[address] = symbol
        return symbol

    async def _ask(self, names: Sequence[str]) -> dict[Key, Found]:
        items: list[sums.ReadWriteItem] = []
        for name in names:
            text = name.encode("cp1252", "replace") + b"\0"
            items.append((Group.SYM_INFO_BY_NAME_EX, 0, _ENTRY_ROOM, text))
            items.append((Group.SYM_HANDLE_BY_NAME, 0, 4, text))
        answers = await self._target.read_write_many(items)
        found: dict[Key, Found] = {}
        for index, name in enumerate(names):
            entry, handle = answers[2 * index], answers[2 * index + 1]
            if isinstance(entry, Refusal) and entry.number == ErrorCode.INVALID_SIZE:
                item = items[2 * index]
                entry = (
                    await self._target.read_write_many([(*item[:2], _MOST_ENTRY_ROOM, item[3])])
                )[0]
            with understood(f"symbol {name}"):
                known = entry if isinstance(entry, Refusal) else parse_entry(entry)[0]
                if isinstance(known, SymbolEntry) and self._types is None:
                    await self._look_up_type(known)
                found[name] = self._made(name, known, handle)
        return found

    async def _look_up_type(self, entry: SymbolEntry) -> None:
        """Load the types of the program once one is wanted whose name does not say what it is."""
        try:
            codec_for(entry.type_name, self._encoding)
        except UnsupportedTypeError:
            await self.load_types()

    async def load_types(self) -> TypeTable:
        """Return the types that the program declares, none where the target does not tell."""
        if self._types is None:
            entries = await upload_types(self._target)
            self._types = TypeTable(entries, self._encoding, by_name=self._enum_names)
        return self._types

    def _made(self, name: str, entry: SymbolEntry | Refusal, handle: bytes | Refusal) -> Found:
        if isinstance(entry, Refusal):
            return AdsError(entry if isinstance(handle, bytes) else handle, f"symbol {name}")
        if isinstance(handle, bytes):
            return self._known_as(name, entry, commands.parse_u32(handle, "handle"))
        if handle.number in UNSUPPORTED:
            return self._known_as(name, entry, None)
        return AdsError(handle, f"symbol {name}")

    def _known_as(self, name: str, entry: SymbolEntry, handle: int | None) -> Found:
        try:
            codec = self._codec(entry)
        except UnsupportedTypeError as error:
            return Rejected(faults.UNSUPPORTED_TYPE, f"symbol {name}: {error}")
        group, offset = (
            (entry.group, entry.offset) if handle is None else (Group.SYM_VALUE_BY_HANDLE, handle)
        )
        symbol = self._known[name] = Symbol(name, group, offset, codec, entry)
        return symbol

    def _codec(self, entry: SymbolEntry) -> Codec:
        if self._types is not None:
            return self._types.codec(entry.type_name, entry.size, entry.type_id)
        return codec_of_entry(entry.type_name, entry.size, entry.type_id, self._encoding)


async def upload_types(target: Target) -> list[TypeEntry]:
    """Return every type that the program declares; none where the target has no such table."""
    try:
        info = parse_upload_info(await target.read(Group.SYM_UPLOAD_INFO2, 0, _INFO_ROOM))
        if not info.datatype_bytes:
            return []
        table = await target.read(Group.DATATYPE_UPLOAD, 0, info.datatype_bytes)
    except AdsError:  # an older or smaller device, which tells of its symbols only
        return []
    return list(parse_types(table, info.datatypes))
