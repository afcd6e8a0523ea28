"""Subscriptions: which symbols a subscriber wants, and the notifications that bring them now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from flowbus import Rejected
from flowbus_ads.addresses import Key
from flowbus_ads.errors import AdsError, Refusal
from flowbus_ads.notes import Sink
from flowbus_ads.protocol.commands import NoteSpec
from flowbus_ads.protocol.constants import STALE_HANDLE, TransMode
from flowbus_ads.protocol.errors import DecodeError
from flowbus_ads.protocol.sums import MAX_ITEMS
from flowbus_ads.symbols import Symbol, SymbolTable
from flowbus_ads.target import Target

_NOTES_A_REQUEST: Final = 50
"""So many are asked for before other tasks have their turn."""

Deliver = Callable[[str, int, Any], None]
"""Takes (symbol, FILETIME, value) for each sample; must not wait."""


class Terms(msgspec.Struct, frozen=True):
    """How a subscription is served: times in seconds."""

    mode: TransMode = TransMode.ON_CHANGE
    cycle_time: float = 0.1
    max_delay: float = 0.0


class Subscription:
    """A set of symbols with one receiver, renewed as a whole after an online change.

    ``missing`` says why some symbols bring nothing; ``changed`` is called when that changes.
    """

    def __init__(
        self, target: Target, table: SymbolTable, stale: Callable[[], None],
        keys: Sequence[Key], deliver: Deliver, terms: Terms,
    ) -> None:  # fmt: skip
        self.missing: Mapping[str, Rejected] = {}
        self.changed: Callable[[], None] = lambda: None
        self._target, self._table, self._stale = target, table, stale
        self._keys, self._deliver, self._terms = tuple(keys), deliver, terms
        self._handles: list[int] = []

    async def open(self) -> None:
        """Ask for the notifications; the PLC sends the present value of each at once."""
        await self._open(self._keys)

    async def look_again(self) -> None:
        """Ask once more for what is missing."""
        if self.missing:
            await self._open([key for key in self._keys if str(key) in self.missing])

    async def _open(self, keys: Sequence[Key]) -> None:
        found = await self._table.find_all(keys)
        missing = {str(k): why for k, why in found.items() if isinstance(why, Rejected)}
        symbols = [symbol for symbol in found.values() if isinstance(symbol, Symbol)]
        for at in range(0, len(symbols), _NOTES_A_REQUEST):
            await self._add(symbols[at : at + _NOTES_A_REQUEST], missing)
        before, self.missing = self.missing, missing
        if list(before) != list(missing):
            self.changed()

    async def close(self) -> None:
        """Stop the notifications."""
        handles, self._handles = self._handles, []
        for handle in handles:
            self._target.link.notes.remove(self._target.address, handle)
        for at in range(0, len(handles), MAX_ITEMS):
            await self._target.delete_notes(handles[at : at + MAX_ITEMS])

    async def renew(self) -> None:
        """Close and open again, with new handles."""
        await self.close()
        await self.open()

    async def _add(self, symbols: Sequence[Symbol], missing: dict[str, Rejected]) -> None:
        notes = self._target.link.notes
        notes.begin_add()
        try:
            results = await self._target.add_notes([self._spec(symbol) for symbol in symbols])
            for symbol, (number, handle) in zip(symbols, results, strict=True):
                if number:
                    missing[symbol.name] = AdsError(Refusal(number), f"subscribe to {symbol.name}")
                    if number in STALE_HANDLE:
                        self._table.forget(symbol)
                else:
                    self._handles.append(handle)
                    notes.add(self._target.address, handle, self._sink(symbol))
        finally:
            notes.end_add()

    def _spec(self, symbol: Symbol) -> NoteSpec:
        terms = self._terms
        delay, cycle = (round(t * 1e7) for t in (terms.max_delay, terms.cycle_time))
        return NoteSpec(*symbol.read_item, terms.mode, delay, cycle)

    def _sink(self, symbol: Symbol) -> Sink:
        name, decode, deliver = symbol.name, symbol.codec.decode, self._deliver

        def take(filetime: int, data: bytes) -> None:
            try:
                value = decode(data)
            except DecodeError:  # empty or of another size: the symbol has moved or changed
                self._stale()
            else:
                deliver(name, filetime, value)

        return take
