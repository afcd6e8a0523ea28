"""The nodes that read and write: ``ads-read`` and ``ads-write``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from typing import Annotated, Any

import trio
from msgspec import Meta

from flowbus import Config, Message, NodeIO, Quality, Rejected, Template, io_node
from flowbus_ads.addresses import AdsRef, IndexAddress, Key
from flowbus_ads.client import AdsClient

_SYMBOL = Meta(description="Symbol name such as MAIN.rValue, or {group, offset, type}.")


def one_of(symbol: Key | None, symbols: Sequence[Key]) -> None:
    """Check that exactly one of the options ``symbol`` and ``symbols`` is given."""
    if (symbol is None) == (not symbols):
        raise ValueError('give either "symbol" or a "symbols" list that is not empty')


class AdsRead(Config):
    """Read PLC values on each message, or on a period."""

    connection: Annotated[AdsRef, Meta(description="Name of the ads connection.")]
    symbol: Annotated[
        str | IndexAddress | None,
        Meta(
            description="Symbol name such as MAIN.rValue, or {group, offset, type}. A name may have "
            "`{topic}`, `{payload}` or `{headers.name}` of the message in it."
        ),
    ] = None
    symbols: Annotated[
        tuple[str | IndexAddress, ...],
        Meta(description="Several such; the payload is then an object of name to value."),
    ] = ()
    every: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Read by itself every so many seconds; no inbox then."),
    ] = None
    in_flight: Annotated[
        int, Meta(ge=1, le=1000, description="Messages worked on at once; their order is kept.")
    ] = 1

    def __post_init__(self) -> None:
        one_of(self.symbol, self.symbols)
        for key in _names(self):
            if self.every is not None and isinstance(key, Template) and not key.is_constant:
                raise ValueError(f"{key.text!r} names a part of a message, of which `every` has none")


@io_node("ads-read")
async def ads_read(config: AdsRead, io: NodeIO) -> None:
    """Read PLC values and send them on; all reads of one tick share one request."""
    plc: AdsClient = await io.connection()
    read = _Reader(config, plc)
    if config.every is None:
        await io.each(read, limit=config.in_flight)
    topic = "" if config.symbol is None else str(config.symbol)
    turn = trio.current_time()
    while True:
        try:
            await io.send(await read(Message(None, topic)))
        except Rejected as error:
            if error.fault.temporary:
                raise
            io.degraded(error.fault, error.text)
        else:
            io.connected()
        turn = max(turn + (config.every or 0.0), trio.current_time())
        await trio.sleep_until(turn)


class _Reader:
    """Reads what the configuration names, and puts it into a message."""

    def __init__(self, config: AdsRead, plc: AdsClient) -> None:
        self._plc, self._is_single = plc, config.symbol is not None
        self._names = _names(config)

    async def __call__(self, message: Message) -> Message:
        """Return ``message`` with what was read as its payload. Raises Rejected, Lost."""
        keys = [key.render(message) if isinstance(key, Template) else key for key in self._names]
        if self._is_single:
            return message.with_payload(await self._plc.read(keys[0]))
        return _answered(message, keys, await self._plc.read_many(keys))


def _names(config: AdsRead) -> list[Template | IndexAddress]:
    """Return what to read. Raises ValueError for a text that is no template."""
    keys = config.symbols if config.symbol is None else (config.symbol,)
    return [Template(key) if isinstance(key, str) else key for key in keys]


def _answered(message: Message, keys: Sequence[Key], values: Sequence[Any]) -> Message:
    payload: dict[str, Any] = {}
    bad: dict[str, Rejected] = {}
    for key, value in zip(keys, values, strict=True):
        if isinstance(value, Rejected):
            bad[str(key)] = value
        payload[str(key)] = None if isinstance(value, Rejected) else value
    if not bad:
        return message.with_payload(payload)
    if len(bad) == len(values):
        raise values[0]
    faults = {name: {"code": why.fault.code, "text": why.text} for name, why in bad.items()}
    headers = {**message.headers, "faults": faults}
    return message.replace(payload=payload, headers=headers, quality=Quality.UNCERTAIN)


class AdsWrite(Config):
    """Write the payload to a PLC symbol, or an object's values to several."""

    connection: Annotated[AdsRef, Meta(description="Name of the ads connection.")]
    symbol: Annotated[str | IndexAddress | None, _SYMBOL] = None
    symbols: Annotated[
        tuple[str, ...],
        Meta(description="Names that an object payload may write, all in one request."),
    ] = ()
    allow_symbols: Annotated[
        tuple[str, ...],
        Meta(
            description="Patterns of names that an object payload may write, as `MAIN.stRecipe.*`; "
            "`*` stands for any text. Upper and lower case are the same."
        ),
    ] = ()
    verify: Annotated[
        bool, Meta(description="Read back what was written; another value is `ads.not_verified`.")
    ] = False
    in_flight: Annotated[
        int,
        Meta(ge=1, le=1000, description="Writes under way at once; above 1 their order is open."),
    ] = 1
    retry: Annotated[
        bool, Meta(description="Repeat a write whose outcome is unknown, instead of rejecting it.")
    ] = False

    def __post_init__(self) -> None:
        if self.allow_symbols and self.symbol is None:
            return
        one_of(self.symbol, (*self.symbols, *self.allow_symbols))


@io_node("ads-write", outlets=(), ttl=10.0)
async def ads_write(config: AdsWrite, io: NodeIO) -> None:
    """Write to the PLC; a message is confirmed by the PLC's answer and by nothing else."""
    plc: AdsClient = await io.connection()

    async def write(message: Message) -> None:
        prepared = await plc.prepare(_values(config, message.payload))
        # Reading back belongs to it: a loss then must not write again either.
        with nullcontext() if config.retry else io.once(message):
            await prepared.send()
            if config.verify:
                await prepared.verify()

    await io.each(write, limit=config.in_flight)


def _values(config: AdsWrite, payload: Any) -> dict[Key, Any]:
    """Return what to write. A name in a payload counts only where the flow file allows it."""
    if config.symbol is not None:
        return {config.symbol: payload}
    if not isinstance(payload, dict) or not payload:
        raise Rejected("the payload is not an object of symbol to value, which `symbols` needs")
    for name in payload:
        if name not in config.symbols and not _allowed(name, config.allow_symbols):
            raise Rejected(f"{name!r} is not among the symbols that this node may write")
    return dict(payload)


def _allowed(name: str, patterns: Sequence[str]) -> bool:
    plain = name.casefold()
    return any(fnmatchcase(plain, _literal(pattern.casefold())) for pattern in patterns)


def _literal(pattern: str) -> str:
    """Have brackets mean themselves, as in ``MAIN.aAxis[3]``."""
    return pattern.replace("[", "[[]")
