"""Writes: values encoded before anything leaves, sent once, and read back where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbus import Rejected
from flowbus_ads import faults
from flowbus_ads.addresses import Key
from flowbus_ads.errors import AdsError, Refusal
from flowbus_ads.protocol import sums
from flowbus_ads.protocol.codecs import Codec
from flowbus_ads.protocol.constants import STALE_HANDLE
from flowbus_ads.protocol.errors import EncodeError
from flowbus_ads.protocol.structures import StructCodec
from flowbus_ads.symbols import Symbol, SymbolTable
from flowbus_ads.target import Target


class PreparedWrite:
    """One or several values, encoded, about to be written in one request."""

    def __init__(
        self, target: Target, symbols: SymbolTable, parts: Sequence[tuple[Symbol, bytes]]
    ) -> None:
        self._target, self._symbols, self._parts = target, symbols, parts

    async def send(self) -> None:
        """Write, once, and return when the PLC has confirmed every value.

        Raises AdsError when the PLC refuses, Rejected when it refuses some of several values (the
        text names them, the others are written), Lost when it is not known what was written.
        """
        refused: list[AdsError] = []
        for part in sums.chunks(self._parts, lambda part: len(part[1])):
            items = [(symbol.group, symbol.offset, data) for symbol, data in part]
            results = await self._target.write_many(items)
            for (symbol, _), refusal in zip(part, results, strict=True):
                if refusal is None:
                    continue
                refused.append(AdsError(refusal, f"write {symbol.name}"))
                if refusal.number in STALE_HANDLE:  # the next write asks for a new handle
                    self._symbols.forget(symbol)
        if refused and len(refused) < len(self._parts):  # never a fault that asks for another try
            raise Rejected(faults.PARTLY_WRITTEN, "; ".join(error.text for error in refused))
        if refused:
            raise refused[0]

    async def verify(self) -> None:
        """Read back what :meth:`send` has written. Raises Rejected where the PLC has another value, Lost."""
        answers = await self._target.read_many([symbol.read_item for symbol, _ in self._parts])
        wrong = [
            _differs(symbol, data, answer)
            for (symbol, data), answer in zip(self._parts, answers, strict=True)
            if answer != data
        ]
        if wrong:
            raise Rejected(faults.NOT_VERIFIED, "; ".join(wrong))


def some_members(symbol: Symbol, value: Any) -> dict[Key, Any]:
    """Return the members that ``value`` gives of a structure, where they are to be written one by one."""
    codec = symbol.codec
    if not isinstance(codec, StructCodec) or not isinstance(symbol.key, str):
        return {}
    try:
        given = codec.named(value)
    except EncodeError as error:
        raise Rejected(faults.BAD_VALUE, f"{symbol.name}: {error}") from None
    if not given:
        raise Rejected(faults.BAD_VALUE, f"{symbol.name}: the object names no member")
    some: dict[Key, Any] = {f"{symbol.key}.{name}": part for name, part in given.items()}
    return some if _is_partial(codec, given) else {}


def _is_partial(codec: Codec, value: Any) -> bool:
    """Tell whether ``value`` does not say every byte, at any depth but that of an array's elements."""
    if not isinstance(codec, StructCodec) or not isinstance(value, Mapping):
        return False
    try:
        given = codec.named(value)
    except EncodeError:
        return False  # encoding it says why
    if codec.has_hidden_parts:
        return True
    if codec.is_union and len(given) > 1:
        return False  # which of them counts is not for the order of their writes to say
    members = codec.members
    return len(given) < len(members) or any(
        _is_partial(members[name].codec, part) for name, part in given.items()
    )


def _differs(symbol: Symbol, data: bytes, answer: bytes | Refusal) -> str:
    if isinstance(answer, Refusal):
        return AdsError(answer, f"read {symbol.name}").text
    written, found = symbol.codec.decode(data), symbol.decoded(answer)
    return f"{symbol.name}: written {written!r:.80}, found {found!r:.80}"


