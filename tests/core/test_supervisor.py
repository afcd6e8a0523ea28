"""Restart, backoff, out of service; and what an exception means."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
import trio.testing

from flowbus import ConfigError, Lost, Rejected, State
from flowbus.counters import Counters
from flowbus.faults import Fault
from flowbus.status import StatusCell
from flowbus.supervisor import Kind, RestartPolicy, Service, judge, supervise

BUSY = Fault("x.busy", "busy", "The device is busy.", "Wait.", temporary=True)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (OSError("no route"), Kind.LOST, "flowbus.lost"),
        (ConnectionResetError(), Kind.LOST, "flowbus.lost"),
        (trio.BrokenResourceError(), Kind.LOST, "flowbus.lost"),
        (trio.ClosedResourceError(), Kind.LOST, "flowbus.lost"),
        (trio.EndOfChannel(), Kind.LOST, "flowbus.lost"),
        (trio.TooSlowError(), Kind.LOST, "flowbus.lost"),
        (Lost(BUSY), Kind.LOST, "x.busy"),
        (Rejected("no"), Kind.REFUSED, "flowbus.rejected"),
        (Rejected(BUSY), Kind.LOST, "x.busy"),
        (ConfigError("no such file"), Kind.CONFIG, "flowbus.config"),
        (ConfigError("no such file", option="key", fault=BUSY), Kind.CONFIG, "x.busy"),
        (KeyError("x"), Kind.BUG, "flowbus.bug"),
        (ExceptionGroup("", [OSError(), KeyError("x")]), Kind.BUG, "flowbus.bug"),
        (ExceptionGroup("", [OSError(), ExceptionGroup("", [ConfigError("c")])]), Kind.CONFIG, "flowbus.config"),
        (ExceptionGroup("", [Rejected("no"), OSError()]), Kind.LOST, "flowbus.lost"),
    ],
)
def test_what_an_exception_means(error: Exception, kind: Kind, code: str) -> None:
    verdict = judge(error)
    assert (verdict.kind, verdict.fault.code) == (kind, code)


class Runs:
    """A function that does what a script says, and notes when it was called."""

    def __init__(self, *script: Exception | float | None) -> None:
        self.script = list(script)
        self.times: list[float] = []

    async def __call__(self) -> None:
        self.times.append(trio.current_time())
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await trio.sleep(step)
            raise OSError("after a while")


def gaps(times: list[float]) -> list[float]:
    return [round(after - before, 6) for before, after in pairwise(times)]


FULL = RestartPolicy(jitter=lambda: 1.0)


async def test_backoff_doubles_up_to_its_limit(autojump_clock: trio.testing.MockClock) -> None:
    runs = Runs(*[OSError("refused")] * 10)
    cell, counters = StatusCell(), Counters()
    await supervise(runs, cell, counters, FULL)
    assert gaps(runs.times) == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert counters.restarts == 10
    assert cell.value.state is State.STOPPED


async def test_a_healthy_minute_resets_the_backoff(autojump_clock: trio.testing.MockClock) -> None:
    runs = Runs(OSError(), OSError(), OSError(), 61.0, OSError())
    await supervise(runs, StatusCell(), Counters(), FULL)
    assert gaps(runs.times) == [0.25, 0.5, 1, 61.25, 0.5]


async def test_jitter_takes_from_nothing_to_all() -> None:
    policy = RestartPolicy()
    delays = [policy.delay(3) for _ in range(200)]
    assert 0 <= min(delays) < 0.5
    assert 1.5 < max(delays) <= 2


async def test_after_five_bugs_in_a_minute_it_is_out_of_service(
    autojump_clock: trio.testing.MockClock,
) -> None:
    told: list[str] = []
    service = Service(lambda fault, text: told.append(fault.code), lambda: told.append("back"))
    runs = Runs(*[KeyError("bug")] * 6)
    states: list[str] = []
    cell = StatusCell(lambda status: states.append(status.state.value))
    await supervise(runs, cell, Counters(), FULL, service)
    assert gaps(runs.times)[4] == 300
    assert told == ["flowbus.bug", "back"]
    assert "failed" in states


async def test_losses_never_take_it_out_of_service(autojump_clock: trio.testing.MockClock) -> None:
    runs = Runs(*[OSError()] * 50)
    states: list[str] = []
    cell = StatusCell(lambda status: states.append(status.state.value))
    await supervise(runs, cell, Counters(), RestartPolicy(jitter=lambda: 0.01))
    assert "failed" not in states


async def test_a_wrong_configuration_is_not_tried_again() -> None:
    runs = Runs(ConfigError("key file is gone"))
    cell = StatusCell()
    await supervise(runs, cell, Counters(), FULL)
    assert (cell.value.state, cell.value.code) == (State.FAILED, "flowbus.config")
    assert "key file is gone" in cell.value.text
    assert len(runs.times) == 1
