"""A source of messages: one, many, or one every so often."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta, field

from flowbus import Config, Message, NodeIO, io_node
from flowbus_core_nodes.patterns import pattern_of, payloads

Pattern = Literal["sample", "constant", "counter", "ramp", "sine", "random", "list", "timestamp"]

_STEPS_MAX = 2**53  # more values than a double can count


class Inject(Config):
    """Emit messages: once, a number of them, or one every so many seconds."""

    payload: Annotated[Any, Meta(description="The payload of the pattern `constant`.")] = None
    topic: Annotated[str, Meta(description="The topic of every message.")] = ""
    headers: Annotated[dict[str, Any], Meta(description="The headers of every message.")] = field(
        default_factory=dict
    )
    interval: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Seconds from one message to the next; 0: as fast as the flow takes them. "
            "Left out: one message, or `count` of them as fast as the flow takes them.",
        ),
    ] = None
    count: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="End after this many messages; null: go on for ever."),
    ] = None
    delay: Annotated[float, Meta(ge=0, description="Seconds before the first message.")] = 0.0
    pattern: Annotated[
        Pattern | None,
        Meta(
            description="`sample`: an object of a count and the time; `constant`: `payload`; `counter`: "
            "1, 2, 3; `ramp`: from `min` to `max` by `step`, again and again; `sine`: between `min` "
            "and `max` with `period`; `random`: between `min` and `max`; `list`: `values` in turn; "
            "`timestamp`: ms since 1970. Left out: what `payload` or `values` imply, else `sample`."
        ),
    ] = None
    values: Annotated[
        Annotated[list[Any], Meta(min_length=1)] | None,
        Meta(description="The payloads of the pattern `list`."),
    ] = None
    min: Annotated[
        float, Meta(description="The least value of a ramp, a sine or random values.")
    ] = 0.0
    max: Annotated[
        float, Meta(description="The greatest value of a ramp, a sine or random values.")
    ] = 100.0
    step: Annotated[float, Meta(gt=0, description="What a ramp adds from message to message.")] = (
        1.0
    )
    period: Annotated[float, Meta(gt=0, description="Seconds of one turn of a sine.")] = 10.0
    seed: Annotated[
        int | None, Meta(description="Random values from the same seed are the same in every run.")
    ] = None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        pattern = pattern_of(self)
        if self.payload is not None and pattern != "constant":
            raise ValueError(
                f"payload goes with the pattern constant, not {pattern}; leave one out"
            )
        if self.values is not None and pattern != "list":
            raise ValueError(f"values go with the pattern list, not {pattern}; leave one out")
        if self.values is None and pattern == "list":
            raise ValueError("the pattern list needs values")
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is greater than max {self.max:g}")
        if (self.max - self.min) / self.step > _STEPS_MAX:
            raise ValueError("step is too small for min and max")


class Ticks:
    """When to send next: at whole multiples of the interval after the first message.

    A tick that passes while the flow takes no message is missed: counted and left out.
    """

    def __init__(self, interval: float) -> None:
        self.missed = 0
        self._interval = interval
        self._began: float | None = None
        self._tick = 0

    def elapsed(self) -> float:
        """Return the planned seconds from the first message to this one; unplanned, the real ones."""
        if self._interval:
            return self._tick * self._interval
        if self._began is None:
            self._began = trio.current_time()
        return trio.current_time() - self._began

    async def next(self) -> None:
        """Return when the next message is due."""
        now = trio.current_time()
        if self._began is None:
            self._began = now
        else:
            self._tick += 1
        late = int((now - self._began) / self._interval) - self._tick
        if late > 0:
            self.missed += late
            self._tick += late
        await trio.sleep_until(self._began + self._tick * self._interval)


_BATCH = 64  # messages handed over at once, half of what a wire holds


@io_node("inject")
async def inject(config: Inject, io: NodeIO) -> None:
    """Emit messages: once, a number of them, or one every so many seconds."""
    ticks = Ticks(config.interval or 0.0)
    values = payloads(config, ticks.elapsed)
    count = 1 if config.interval is None and config.count is None else config.count
    io.details(lambda: {"pattern": pattern_of(config), "missed_ticks": ticks.missed})
    io.connected()
    await trio.sleep(config.delay)
    topic, headers = config.topic, config.headers
    if config.interval:
        for _ in itertools.repeat(None) if count is None else itertools.repeat(None, count):
            await ticks.next()
            await io.send(Message(next(values), topic, headers))
    else:
        left = itertools.islice(values, count)
        while batch := [Message(payload, topic, headers) for payload in itertools.islice(left, _BATCH)]:
            await io.send_many(batch)
