"""Calls of a function block's methods: the inputs in, the result and the outputs back.

A call is made by a handle of ``SYMBOL#Method``: one ReadWrite whose data are the inputs in order and
whose answer is the result and then the outputs. A method has to be declared with the attribute
'TcRpcEnable'. Source: Beckhoff Information System, "ADS RPC method call"; layout as ads-client has it.
"""

from __future__ import annotations

from typing import Any, Final

from flowbus import Lost, Rejected
from flowbus_ads import faults
from flowbus_ads.errors import AdsError, understood
from flowbus_ads.protocol import commands
from flowbus_ads.protocol.constants import STALE_HANDLE, Group
from flowbus_ads.protocol.errors import DecodeError, EncodeError, UnsupportedTypeError
from flowbus_ads.protocol.signatures import Signature, signature_of
from flowbus_ads.symbols import SymbolTable
from flowbus_ads.target import Target

_SHOWN: Final = 10


class PreparedCall:
    """A call with its inputs encoded, about to be made once."""

    def __init__(self, caller: Caller, key: tuple[str, str], handle: int, data: bytes, to: Signature):
        self._caller, self._key, self._handle, self._data, self._signature = caller, key, handle, data, to

    async def send(self) -> dict[str, Any]:
        """Call, once, and return ``{"result": ..., "outputs": {...}}``.

        Raises AdsError when the PLC refuses, Lost when it is not known whether it was called.
        """
        where = "#".join(self._key)
        group = Group.SYM_VALUE_BY_HANDLE
        size = self._signature.size
        try:
            data = await self._caller.target.read_write(
                group, self._handle, size, self._data, f"call {where}"
            )
            return self._signature.decode(data)
        except AdsError as error:
            if error.number in STALE_HANDLE:  # the next call asks for a new handle
                self._caller.forget(self._key)
            raise
        except DecodeError as error:
            raise Lost(faults.BAD_ANSWER, f"call {where}: {error}") from None


class Caller:
    """The methods of one device that are called: their handles and signatures, until they are stale."""

    def __init__(self, target: Target, symbols: SymbolTable) -> None:
        self.target, self._symbols = target, symbols
        self._known: dict[tuple[str, str], tuple[int, Signature]] = {}

    def forget(self, key: tuple[str, str]) -> None:
        """Ask anew for a method when it is called again."""
        self._known.pop(key, None)

    def forget_all(self) -> None:
        """Ask anew for every method."""
        self._known.clear()

    def handles(self) -> list[int]:
        """Return the handles that the target holds for the methods that were called."""
        return [handle for handle, _ in self._known.values()]

    async def prepare(self, symbol: str, method: str, arguments: Any) -> PreparedCall:
        """Find the method and encode the inputs; nothing is called yet. Raises Rejected, Lost."""
        key = (symbol, method)
        handle, signature = self._known.get(key) or await self._find(key)
        try:
            data = signature.encode(arguments)
        except EncodeError as error:
            raise Rejected(faults.BAD_VALUE, f"call {symbol}#{method}: {error}") from None
        self.target.link.check()
        return PreparedCall(self, key, handle, data, signature)

    async def _find(self, key: tuple[str, str]) -> tuple[int, Signature]:
        symbol, name = key
        entry = await self._symbols.entry(symbol)
        types = await self._symbols.load_types()
        kind = types.structure(entry.type_name)
        methods = kind.methods if kind is not None else ()
        method = next((m for m in methods if m.name.casefold() == name.casefold()), None)
        if method is None:
            known = ", ".join(m.name for m in methods[:_SHOWN]) or "none that may be called"
            text = f"{symbol} ({entry.type_name}) has no method {name!r}; it has {known}"
            raise Rejected(faults.NO_METHOD, text)
        try:
            signature = signature_of(method, types)
        except UnsupportedTypeError as error:
            raise Rejected(faults.UNSUPPORTED_TYPE, f"{symbol}#{name}: {error}") from None
        path = f"{symbol}#{method.name}".encode("cp1252", "replace") + b"\0"
        where = f"method {symbol}#{name}"
        data = await self.target.read_write(Group.SYM_HANDLE_BY_NAME, 0, 4, path, where)
        with understood(where):
            found = commands.parse_u32(data, "handle"), signature
        self._known[key] = found
        return found
