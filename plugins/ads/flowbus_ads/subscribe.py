"""The node ``ads-subscribe``: notifications of the PLC become messages."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta

from flowbus import Config, Message, NodeIO, Quality, io_node
from flowbus_ads import faults
from flowbus_ads.addresses import AdsRef, IndexAddress
from flowbus_ads.client import AdsClient
from flowbus_ads.protocol.constants import TransMode
from flowbus_ads.protocol.notifications import filetime_to_ns
from flowbus_ads.subscriptions import Subscription, Terms

_SHOW_EVERY = 1.0
_MODES = {"on-change": TransMode.ON_CHANGE, "cyclic": TransMode.CYCLIC}


class AdsSubscribe(Config):
    """Send a message for each change, or each cycle, of PLC symbols."""

    connection: Annotated[AdsRef, Meta(description="Name of the ads connection.")]
    symbols: Annotated[
        tuple[str | IndexAddress, ...],
        Meta(min_length=1, description="Symbol names, or {group, offset, type}."),
    ]
    mode: Annotated[
        Literal["on-change", "cyclic"], Meta(description="Send on change, or in every cycle.")
    ] = "on-change"
    cycle_time: Annotated[
        float, Meta(ge=0, le=400, description="Seconds between two looks of the PLC at the value.")
    ] = 0.1
    max_delay: Annotated[
        float, Meta(ge=0, le=400, description="Seconds for which the PLC may collect samples.")
    ] = 0.0
    buffer: Annotated[
        int,
        Meta(
            ge=1, le=10_000_000, description="Samples held while the flow is slower than the PLC."
        ),
    ] = 10_000
    when_full: Annotated[
        Literal["drop-oldest", "drop-newest"], Meta(description="What a full buffer drops.")
    ] = "drop-oldest"
    flush_every: Annotated[
        Annotated[float, Meta(gt=0, le=3600)] | None,
        Meta(
            description="Send the samples of so many seconds as one message: a list of "
            "`{symbol, time, value}`, with the PLC's time in ns.",
        ),
    ] = None
    emit_quality_loss: Annotated[
        bool,
        Meta(
            description="When the PLC is lost, or a symbol vanishes from it, send the last value once "
            "more, with the quality bad."
        ),
    ] = False


Sample = tuple[str, int, Any]


class SampleBuffer:
    """Samples between the network, which cannot wait, and the flow. Bounded; drops are counted."""

    def __init__(self, size: int, when_full: str) -> None:
        self.dropped = 0
        self.received = 0
        self.size, self._drop_oldest = size, when_full == "drop-oldest"
        self._samples: deque[Sample] = deque()
        self._waiting: trio.lowlevel.Task | None = None

    def put(self, name: str, filetime: int, value: Any) -> None:
        """Take in a sample; never waits."""
        self.received += 1
        if len(self._samples) >= self.size:
            self.dropped += 1
            if not self._drop_oldest:
                return
            self._samples.popleft()
        self._samples.append((name, filetime, value))
        task, self._waiting = self._waiting, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def put_back(self, samples: list[Sample]) -> None:
        """Take samples back that were taken and not sent, oldest first."""
        self._samples.extendleft(reversed(samples))

    def drain(self) -> list[Sample]:
        """Return all samples; none is left."""
        samples = list(self._samples)
        self._samples.clear()
        return samples

    async def take(self) -> Sample:
        """Return the oldest sample. For one task."""
        if not self._samples:
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up)
        return self._samples.popleft()

    def _give_up(self, _: Any) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED


@io_node("ads-subscribe")
async def ads_subscribe(config: AdsSubscribe, io: NodeIO) -> None:
    """Send PLC values as they change: topic is the symbol, time the PLC's own."""
    buffer = _buffer(io, config)
    await _finish(io, config, buffer)
    plc: AdsClient = await io.connection()
    terms = Terms(_MODES[config.mode], config.cycle_time, config.max_delay)
    async with plc.subscribe(config.symbols, buffer.put, terms) as subscription:
        io.details(lambda: _details(subscription, buffer))
        async with trio.open_nursery() as nursery:
            last = io.memory.setdefault("last", {}) if config.emit_quality_loss else None
            nursery.start_soon(_show, io, subscription, buffer, last)
            while True:
                if config.flush_every is None:
                    samples = [await buffer.take()]
                else:
                    samples = await _gather(buffer, config.flush_every)
                if last is not None:
                    last.update((name, value) for name, _, value in samples)
                await io.send_many(_messages(config, samples))


def _buffer(io: NodeIO, config: AdsSubscribe) -> SampleBuffer:
    """Return the buffer that outlives a restart of the node, with the size that is asked for now."""
    buffer: SampleBuffer | None = io.memory.get("buffer")
    if buffer is None:
        buffer = io.memory["buffer"] = SampleBuffer(config.buffer, config.when_full)
    return buffer


async def _gather(buffer: SampleBuffer, seconds: float) -> list[Sample]:
    """Return the samples of ``seconds`` from the first one on, at most what the buffer holds."""
    samples = [await buffer.take()]
    try:
        with trio.move_on_after(seconds):
            while len(samples) < buffer.size:
                samples.append(await buffer.take())
    except BaseException:
        buffer.put_back(samples)
        raise
    return samples


def _messages(config: AdsSubscribe, samples: list[Sample]) -> list[Message]:
    if config.flush_every is None:
        return [Message(v, name, time=filetime_to_ns(filetime)) for name, filetime, v in samples]
    rows = [{"symbol": s, "time": filetime_to_ns(filetime), "value": v} for s, filetime, v in samples]
    return [Message(rows)]


async def _finish(io: NodeIO, config: AdsSubscribe, buffer: SampleBuffer) -> None:
    """Send what came before the PLC was lost, and what was known of it, marked as bad."""
    left = buffer.drain()
    last: dict[str, Any] = io.memory.pop("last", {})
    if not left and not last:
        return
    io.degraded(faults.CONNECTION_LOST, "sends what came before the PLC was lost")
    if left:
        await io.send_many(_messages(config, left))
    if config.emit_quality_loss:
        last.update((name, value) for name, _, value in left)
        await io.send_many(_marked_bad(last))


def _marked_bad(last: dict[str, Any]) -> list[Message]:
    return [Message(value, name, quality=Quality.BAD) for name, value in last.items()]


async def _show(
    io: NodeIO, subscription: Subscription, buffer: SampleBuffer, last: dict[str, Any] | None
) -> None:
    """Keep the status true: symbols that are missing, samples that were dropped lately.

    ``last`` has the values whose loss is to be told: a symbol may be missing while the PLC is there.
    """
    changed = trio.Event()
    seen = buffer.dropped
    while True:
        subscription.changed = changed.set
        dropped = buffer.dropped
        if subscription.missing:
            io.degraded(faults.SYMBOLS_MISSING, _missing(subscription))
        elif dropped > seen:
            io.degraded(faults.SAMPLES_DROPPED, f"{dropped} samples dropped since the start")
        else:
            io.connected(f"{dropped} samples dropped since the start" if dropped else "")
        seen = dropped
        if last:
            gone = {name: last.pop(name) for name in subscription.missing if name in last}
            if gone:
                await io.send_many(_marked_bad(gone))
        with trio.move_on_after(_SHOW_EVERY):
            await changed.wait()
            changed = trio.Event()


def _missing(subscription: Subscription) -> str:
    reasons = [why.text for why in subscription.missing.values()]
    return reasons[0] if len(reasons) == 1 else f"{len(reasons)} symbols, such as {reasons[0]}"


def _details(subscription: Subscription, buffer: SampleBuffer) -> dict[str, Any]:
    missing = {name: why.text for name, why in subscription.missing.items()}
    return {"received": buffer.received, "dropped": buffer.dropped, "missing": missing}
