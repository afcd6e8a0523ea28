"""The payloads that an inject node makes, each pattern an endless iterator."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowbus_core_nodes.inject import Inject

#: Seconds since the first message.
Elapsed = Callable[[], float]


def payloads(config: Inject, elapsed: Elapsed) -> Iterator[Any]:
    """Return the payloads of ``config.pattern``, or of what the other options imply."""
    return _PATTERNS[pattern_of(config)](config, elapsed)


def pattern_of(config: Inject) -> str:
    """Return the pattern that is asked for: a payload makes it constant, values make it a list."""
    if config.pattern is not None:
        return config.pattern
    if config.values is not None:
        return "list"
    return "sample" if config.payload is None else "constant"


def now_ms() -> int:
    """Return the wall time in ms since 1970."""
    return time.time_ns() // 1_000_000


def _sample(config: Inject, elapsed: Elapsed) -> Iterator[Any]:
    return ({"count": count, "time": now_ms()} for count in itertools.count(1))


def _constant(config: Inject, elapsed: Elapsed) -> Iterator[Any]:
    return itertools.repeat(config.payload)


def _counter(config: Inject, elapsed: Elapsed) -> Iterator[int]:
    return itertools.count(1)


def _ramp(config: Inject, elapsed: Elapsed) -> Iterator[float]:
    """From min to max and again from min; each value is computed afresh, so no error adds up."""
    low, step = whole(config.min), whole(config.step)
    # The 1e-9 keeps 0.3 in a ramp of 0.1, where the quotient is a little below 3.
    steps = math.floor((config.max - config.min) / config.step + 1e-9) + 1
    return (low + step * (index % steps) for index in itertools.count())


def _sine(config: Inject, elapsed: Elapsed) -> Iterator[float]:
    middle, amplitude = (config.min + config.max) / 2, (config.max - config.min) / 2
    turn = math.tau / config.period
    while True:
        yield middle + amplitude * math.sin(turn * elapsed())


def _random(config: Inject, elapsed: Elapsed) -> Iterator[float]:
    uniform = random.Random(config.seed).uniform  # noqa: S311 - a simulation, no secret
    while True:
        yield uniform(config.min, config.max)


def _list(config: Inject, elapsed: Elapsed) -> Iterator[Any]:
    return itertools.cycle(config.values or ())


def _timestamp(config: Inject, elapsed: Elapsed) -> Iterator[int]:
    while True:
        yield now_ms()


def whole(number: float) -> float:
    """Return an int where ``number`` is whole, so that a ramp of whole steps has whole values."""
    return int(number) if number.is_integer() else number


_PATTERNS: dict[str, Callable[[Inject, Elapsed], Iterator[Any]]] = {
    "sample": _sample,
    "constant": _constant,
    "counter": _counter,
    "ramp": _ramp,
    "sine": _sine,
    "random": _random,
    "list": _list,
    "timestamp": _timestamp,
}
