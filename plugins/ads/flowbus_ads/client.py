"""The ADS client: values by symbol name or index address, over a shared link.

Reads are repeated once with a new handle after an online change; writes are never repeated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import trio

from flowbus import Lost, Rejected
from flowbus_ads import faults
from flowbus_ads.addresses import Key
from flowbus_ads.calls import Caller, PreparedCall
from flowbus_ads.errors import AdsError, Refusal, lost_if_refused, understood
from flowbus_ads.link import AmsLink
from flowbus_ads.protocol import commands
from flowbus_ads.protocol.address import ams_address, parse_net_id
from flowbus_ads.protocol.constants import (
    ONLINE_CHANGES,
    STALE_HANDLE,
    AdsState,
    Command,
    Group,
)
from flowbus_ads.protocol.errors import DecodeError
from flowbus_ads.protocol.symbols import SymbolEntry, parse_table, parse_upload_info
from flowbus_ads.protocol.typetable import TypeTable
from flowbus_ads.subscriptions import Deliver, Subscription, Terms
from flowbus_ads.symbols import Symbol, SymbolTable
from flowbus_ads.target import Target
from flowbus_ads.writes import PreparedWrite, some_members

_RETRY_MISSING: Final = 5
"""Heartbeats between two looks for symbols that a subscription misses."""


class AdsClient:
    """One ADS device: a PLC runtime, the system service, an I/O server.

    ``timeout`` and ``heartbeat`` in seconds. ``state`` and ``version`` are as last seen; ``on_state``
    is called when the state changes.
    """

    def __init__(
        self,
        link: AmsLink,
        net_id: str,
        port: int,
        *,
        timeout: float = 2.0,
        heartbeat: float = 2.0,
        source_net_id: str | None = None,
        source_port: int | None = None,
        encoding: str = "cp1252",
        enum_names: bool = False,
    ) -> None:
        own = parse_net_id(source_net_id) if source_net_id else link.net_id
        source = ams_address(own, source_port or link.new_port())
        self.target = Target(link, ams_address(parse_net_id(net_id), port), source, timeout)
        self.state = AdsState.INVALID
        self.version: int | None = None
        self.renewals = 0
        self.on_state: Callable[[], None] = lambda: None
        self._link, self._heartbeat = link, heartbeat
        self._symbols = SymbolTable(self.target, encoding, enum_names=enum_names)
        self._caller = Caller(self.target, self._symbols)
        self._subscriptions: list[Subscription] = []
        self._stale = trio.Event()
        self._retired: list[int] = []
        self._online_changes: int | None = None

    @property
    def has_symbols(self) -> bool:
        """True for a PLC runtime: it has a symbol version."""
        return self.version is not None

    # ---- values

    async def read(self, key: Key) -> Any:
        """Return the value of a symbol. Raises AdsError or Rejected for this symbol, Lost."""
        symbol = self._symbols.get(key) or await self._symbols.find(key)
        (answer,) = await self.target.read_many((symbol.read_item,))
        if type(answer) is bytes:
            try:
                return symbol.codec.decode(answer)
            except DecodeError:  # shorter or longer than it was: the symbol has changed
                pass
        value = (await self._again([symbol], [answer]))[0]
        if isinstance(value, Rejected):
            raise value
        return value

    async def read_many(self, keys: Sequence[Key]) -> list[Any]:
        """Return the value of each key, or a Rejected in its place. Raises Lost."""
        every = self._symbols.get_all(keys)
        if every is not None:
            return await self._read_known(every)
        found = await self._symbols.find_all(keys)
        symbols = [found[key] for key in keys]
        known = [symbol for symbol in symbols if isinstance(symbol, Symbol)]
        values = iter(await self._read_known(known))
        return [next(values) if isinstance(symbol, Symbol) else symbol for symbol in symbols]

    async def _read_known(self, symbols: Sequence[Symbol]) -> list[Any]:
        answers = await self.target.read_many([symbol.read_item for symbol in symbols])
        try:
            if set(map(type, answers)) <= {bytes}:
                pairs = zip(symbols, answers, strict=True)
                return [symbol.codec.decode(answer) for symbol, answer in pairs]  # type: ignore[arg-type]
        except DecodeError:  # one has another size than it had
            pass
        return await self._again(symbols, answers)

    async def prepare(self, values: Mapping[Key, Any]) -> PreparedWrite:
        """Find the symbols and encode the values of a write; nothing is written yet.

        An object that has some members of a structure writes those, each by its own name: what it
        does not name is not touched, and nothing is read to fill it up.

        Raises Rejected when a symbol does not exist or a value does not fit, Lost.
        """
        parts: list[tuple[Symbol, bytes]] = []
        left = values
        while left:
            found: Mapping[Key, Any] = {key: self._symbols.get_to_write(key) for key in left}
            if None in found.values():
                found = await self._symbols.find_all(left)
            members: dict[Key, Any] = {}
            for key, value in left.items():
                symbol = found[key]
                if isinstance(symbol, Rejected):
                    raise symbol
                some = some_members(symbol, value)
                if some:
                    members |= some
                else:
                    parts.append((symbol, symbol.encoded(value)))
            left = members
        self._link.check()
        return PreparedWrite(self.target, self._symbols, parts)

    async def write(self, key: Key, value: Any) -> None:
        """Write a value and return once the PLC has confirmed it; see :class:`PreparedWrite`."""
        await (await self.prepare({key: value})).send()

    async def prepare_call(self, symbol: str, method: str, arguments: Any) -> PreparedCall:
        """Find a method of a function block and encode its inputs; nothing is called yet.

        Raises Rejected when there is none or an input does not fit, Lost.
        """
        return await self._caller.prepare(symbol, method, arguments)

    async def _again(
        self, symbols: Sequence[Symbol], answers: Sequence[bytes | Refusal]
    ) -> list[Any]:
        """Decode; what failed for a stale handle is read once more with a new one."""
        values = [symbol.decoded(answer) for symbol, answer in zip(symbols, answers, strict=True)]
        stale = [i for i, value in enumerate(values) if _is_stale(value) and symbols[i].by_handle]
        if not stale:
            return values
        for index in stale:
            self._symbols.forget(symbols[index])
        found = await self._symbols.find_all([symbols[index].key for index in stale])
        for index in stale:
            symbol = found[symbols[index].key]
            if isinstance(symbol, Symbol):
                (answer,) = await self.target.read_many((symbol.read_item,))
                values[index] = symbol.decoded(answer)
            else:
                values[index] = symbol
        return values

    # ---- subscriptions

    @asynccontextmanager
    async def subscribe(
        self, keys: Sequence[Key], deliver: Deliver, terms: Terms
    ) -> AsyncIterator[Subscription]:
        """Call ``deliver`` for each sample while the body runs; renewed after an online change."""
        subscription = Subscription(
            self.target, self._symbols, self._mark_stale, keys, deliver, terms
        )
        try:
            with lost_if_refused():
                await subscription.open()
            self._subscriptions.append(subscription)
            yield subscription
        finally:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
            with trio.move_on_after(min(self.target.timeout, 1.0), shield=True):
                await _quietly(subscription.close)

    # ---- the device

    async def device_info(self) -> commands.DeviceInfo:
        """Return name and version of the ADS server."""
        rest = await self.target.request(Command.READ_DEVICE_INFO, b"", "device info")
        with understood("device info"):
            return commands.parse_device_info(rest)

    async def read_state(self) -> tuple[int, int]:
        """Return ADS state and device state."""
        rest = await self.target.request(Command.READ_STATE, b"", "state")
        with understood("state"):
            return commands.parse_state(rest)

    async def write_control(self, ads_state: int, device_state: int, data: bytes = b"") -> None:
        """Ask the device to change its state."""
        request = commands.control_request(ads_state, device_state, data)
        await self.target.request(Command.WRITE_CONTROL, request, "write control")

    async def upload_symbols(self) -> list[SymbolEntry]:
        """Return every symbol that the device knows."""
        with understood("symbol upload"):
            info = parse_upload_info(await self.target.read(Group.SYM_UPLOAD_INFO, 0, 8))
            table = await self.target.read(Group.SYM_UPLOAD, 0, info.symbol_bytes)
            return list(parse_table(table, info.symbols))

    async def types(self) -> TypeTable:
        """Return the types that the program declares; kept until the symbol version changes."""
        with understood("data type upload"):
            return await self._symbols.load_types()

    # ---- keeping it alive

    async def start(self) -> None:
        """Read state and symbol version, the baseline. Raises Lost."""
        with lost_if_refused(), self._mute_if_silent():
            self.state = _state((await self.read_state())[0])
            self.version = await self._symbol_version()
            if self.has_symbols:
                self._online_changes = await self._count_online_changes()

    async def run(self) -> None:
        """Watch the device until it is lost: state, symbol version, stale symbols. Raises Lost."""
        beats = 0
        while True:
            with trio.move_on_after(self._heartbeat):
                await self._stale.wait()
            with lost_if_refused():
                if self._stale.is_set():
                    await self._renew()
                    await trio.sleep(
                        self._heartbeat / 8
                    )  # a symbol that stays broken must not spin
                    continue
                await self._beat()
                beats += 1
                if beats % _RETRY_MISSING == 0:
                    for subscription in list(self._subscriptions):
                        await subscription.look_again()

    async def _beat(self) -> None:
        retired, self._retired = self._retired, []
        self.target.release_handles(retired)
        with self._mute_if_silent():
            state = _state((await self.read_state())[0])
            version, changes = await self._symbol_version(), self._online_changes
            if changes is not None:  # the version does not rise with every online change
                changes = await self._count_online_changes()
        if version != self.version or changes not in (None, self._online_changes):
            self.version = version
            self._online_changes = self._online_changes if changes is None else changes
            await self._renew()
        if state != self.state:
            if state == AdsState.RUN:  # a restart loses notifications without a word
                self._mark_stale()
            self.state = state
            self.on_state()

    @contextmanager
    def _mute_if_silent(self) -> Iterator[None]:
        """Give the link up where a request was not answered and nothing else has come since."""
        began = trio.current_time()
        try:
            yield
        except Lost as lost:
            if lost.fault is faults.TIMEOUT and self._link.last_received < began:
                text = f"{self._link.place} has not answered for {self.target.timeout:g} s"
                self._link.doom(faults.PLC_MUTE, text)
                raise Lost(faults.PLC_MUTE, text) from None
            raise

    async def _symbol_version(self) -> int | None:
        try:
            data = await self.target.read(Group.SYM_VERSION, 0, 1)
        except AdsError:  # the system service and others have no symbols
            return None
        return data[0] if data else None

    async def _count_online_changes(self) -> int | None:
        name = ONLINE_CHANGES.encode() + b"\0"
        try:
            data = await self.target.read_write(
                Group.SYM_VALUE_BY_NAME, 0, 4, name, "online changes"
            )
        except AdsError:  # no TwinCAT 3, or no program now
            return None
        return int.from_bytes(data, "little")

    def _mark_stale(self) -> None:
        self._stale.set()

    async def _renew(self) -> None:
        self._stale = trio.Event()
        self.renewals += 1
        self._retired += self._handles()  # released later: a request by one may be under way
        self._symbols.forget_all()
        self._caller.forget_all()
        for subscription in list(self._subscriptions):
            await subscription.renew()

    async def close(self) -> None:
        """Tell the device that the handles are no longer needed; waits a second at most, also when cancelled."""
        with trio.move_on_after(min(self.target.timeout, 1.0), shield=True):
            await self.target.end_handles(self._retired + self._handles())

    def _handles(self) -> list[int]:
        return self._symbols.handles() + self._caller.handles()


def _is_stale(value: Any) -> bool:
    if isinstance(value, AdsError):
        return value.number in STALE_HANDLE
    return isinstance(value, Rejected) and value.fault is faults.BAD_ANSWER


def _state(number: int) -> AdsState:
    return AdsState(number) if number in AdsState._value2member_map_ else AdsState.INVALID


async def _quietly(close: Callable[[], Any]) -> None:
    try:
        await close()
    except (Lost, AdsError):  # the device is gone, and its notifications with it
        return
