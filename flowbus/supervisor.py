"""Keep one async function running: restart it with backoff, take it out of service when it thrashes.

A lost peer is weather and is retried for ever. A bug is retried a few times; then what runs is
*failed* and is tried again after a long pause, while everything else goes on.
"""

from __future__ import annotations

import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec
import trio

from flowbus.counters import Counters
from flowbus.errors import ConfigError, FaultError, Lost, Rejected
from flowbus.faults import BUG, CONNECTION_DOWN, LOST, Fault
from flowbus.status import State, StatusCell

log = logging.getLogger("flowbus.supervisor")

WEATHER = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.EndOfChannel,
    trio.TooSlowError,
)


class ConnectionDown(Lost):
    """The connection that a node works through went down; the node waits for it without a backoff.

    ``code`` is the fault of the connection, empty while that is still closing.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(CONNECTION_DOWN, text)
        self.code = code


class Kind(Enum):
    """What an exception means; where several meet, the later one outweighs."""

    REFUSED = 0
    LOST = 1
    CONFIG = 2
    BUG = 3


class Verdict(msgspec.Struct, frozen=True):
    """What an exception means, with the fault and a text that is fit for a status."""

    kind: Kind
    fault: Fault
    text: str


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions of a group, however deep, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for child in error.exceptions for leaf in leaves(child)]
    return [error]


def judge(error: BaseException) -> Verdict:
    """Classify an exception, or a group by its leaves: a bug outweighs a wrong file, that a loss.

    Cancelled leaves of a group that has others are only the echo of those.
    """
    all_leaves = leaves(error)
    causes = [leaf for leaf in all_leaves if not isinstance(leaf, trio.Cancelled)] or all_leaves
    return max((_judge_one(leaf) for leaf in causes), key=lambda verdict: verdict.kind.value)


def worst(error: BaseException) -> BaseException:
    """Return the leaf that decided what :func:`judge` said."""
    return max(leaves(error), key=lambda leaf: (not isinstance(leaf, trio.Cancelled), _judge_one(leaf).kind.value))


def _judge_one(error: BaseException) -> Verdict:
    if isinstance(error, Rejected):
        kind = Kind.LOST if error.fault.temporary else Kind.REFUSED
        return Verdict(kind, error.fault, error.text)
    if isinstance(error, FaultError):
        return Verdict(Kind.LOST, error.fault, error.text)
    if isinstance(error, ConfigError):
        return Verdict(Kind.CONFIG, error.fault, str(error))
    if isinstance(error, WEATHER):
        return Verdict(Kind.LOST, LOST, describe_error(error))
    return Verdict(Kind.BUG, BUG, describe_error(error))


def describe_error(error: BaseException) -> str:
    """Return the type and text of an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patiently to restart; seconds of trio's clock. ``jitter`` returns a number in [0, 1)."""

    first_delay: float = 0.25
    max_delay: float = 30.0
    healthy_after: float = 60.0
    max_crashes: int = 5
    crash_window: float = 60.0
    failed_pause: float = 300.0
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int) -> float:
        """Return a full-jitter exponential backoff for the attempt, counted from 0."""
        ceiling = min(self.first_delay * 2.0 ** min(attempt, 64), self.max_delay)
        return self.jitter() * ceiling


def _nothing(fault: Fault, text: str) -> None: ...


class Service(msgspec.Struct, frozen=True):
    """What to do when the supervised function goes out of service for a while, and comes back.

    ``pause`` waits for so many seconds between two attempts, or less where there is a reason.
    """

    out: Callable[[Fault, str], None] = _nothing
    back: Callable[[], None] = lambda: None
    pause: Callable[[float], Awaitable[None]] = trio.sleep


async def supervise(
    run: Callable[[], Awaitable[None]],
    cell: StatusCell,
    counters: Counters,
    policy: RestartPolicy,
    service: Service = Service(),  # noqa: B008  it is frozen and empty
) -> None:
    """Run ``run`` until it returns, is cancelled, or its configuration is wrong for good."""
    crashes: deque[float] = deque(maxlen=policy.max_crashes)
    attempt = 0
    while True:
        started = trio.current_time()
        try:
            await run()
        except ConnectionDown as down:
            counters.restarts += 1
            if down.code:
                cell.set(State.WAITING, down.code, down.text)
            await trio.lowlevel.checkpoint()
            continue
        except BaseException as error:
            if asked_to_stop(error):
                await _stop_despite(error)
            verdict = judge(error)
            if verdict.kind is Kind.BUG or verdict.kind is Kind.REFUSED:
                # One traceback that matters, not the nest of groups around it.
                log.error("crashed: %s", verdict.text, exc_info=worst(error))
        else:
            cell.set(State.STOPPED, text="ended")
            return
        now = trio.current_time()
        if verdict.kind is Kind.CONFIG:
            cell.set(State.FAILED, verdict.fault.code, verdict.text)
            service.out(verdict.fault, verdict.text)
            return
        attempt = 0 if now - started >= policy.healthy_after else attempt
        if verdict.kind is not Kind.LOST:
            crashes.append(now)
        if len(crashes) == policy.max_crashes and now - crashes[0] <= policy.crash_window:
            await _pause(cell, policy, service, verdict)
            crashes.clear()
            attempt = 0
        else:
            delay = policy.delay(attempt)
            attempt += 1
            cell.set(State.WAITING, verdict.fault.code, verdict.text, retry_in=delay)
            await service.pause(delay)
        counters.restarts += 1


async def _stop_despite(error: BaseException) -> None:
    """Raise the cancellation alone; what else went wrong while stopping is only logged.

    Re-raised in its group it would outlive the cancellation and end the whole run.
    """
    for leaf in leaves(error):
        if not isinstance(leaf, trio.Cancelled):
            log.warning("failed while it was stopped: %s", describe_error(leaf))
    await trio.lowlevel.checkpoint_if_cancelled()


async def _pause(cell: StatusCell, policy: RestartPolicy, service: Service, verdict: Verdict) -> None:
    text = f"{verdict.text} ({policy.max_crashes} crashes within {policy.crash_window:g} s)"
    cell.set(State.FAILED, verdict.fault.code, text, retry_in=policy.failed_pause)
    service.out(verdict.fault, text)
    await trio.sleep(policy.failed_pause)
    service.back()


def asked_to_stop(error: BaseException) -> bool:
    """Tell a cancellation that the runtime asked for from one that a node let escape by a bug."""
    cancelled = any(isinstance(leaf, trio.Cancelled) for leaf in leaves(error))
    return cancelled and trio.current_effective_deadline() == -math.inf


class StrayCancellation(RuntimeError):
    """A node let a cancellation escape that nobody had asked for."""


async def in_own_task(function: Callable[..., Awaitable[None]], *args: object) -> None:
    """Await ``function(*args)`` in a task of its own, so that a nursery it leaks stays inside.

    What it raises comes out as trio raises it from a nursery: in a group. A stray cancellation,
    which trio would take for the nursery's own and pass over in silence, raises StrayCancellation.
    """
    returned = False

    async def call() -> None:
        nonlocal returned
        await function(*args)
        returned = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, name=getattr(function, "__qualname__", None))
    if not returned:
        raise StrayCancellation("a cancellation escaped that nobody had asked for")
