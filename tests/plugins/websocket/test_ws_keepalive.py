"""When a peer that is silent is pinged, and when it is given up."""

from __future__ import annotations

import math

import pytest
from flowbus_websocket.keepalive import KeepAlive


def run(alive: KeepAlive, until: float, answers: float | None) -> list[tuple[str, float]]:
    """Look whenever it is due, as the nodes do; return the pings and the loss.

    A Pong comes ``answers`` seconds behind its ping, and wakes nobody up.
    """
    done: list[tuple[str, float]] = []
    pongs: list[float] = []
    look = alive.due
    while look <= until:
        for pong in [at for at in pongs if at <= look]:
            pongs.remove(pong)
            alive.heard(pong)
            alive.ponged()
        step = alive.step(look, reading=True)
        if step != "wait":
            done.append((step, look))
        if step == "lost":
            break
        if step == "ping" and answers is not None:
            pongs.append(look + answers)
        look = alive.due
    return done


@pytest.mark.parametrize(("interval", "timeout"), [(20, 10), (10, 20), (10, 10), (10, 0)])
def test_a_peer_that_answers_is_pinged_an_interval_after_each_answer(
    interval: float, timeout: float
) -> None:
    pings = run(KeepAlive(interval, timeout, 0), 100, answers=1)
    assert pings == [("ping", at) for at in range(interval, 101, interval + 1)]


def test_a_peer_that_does_not_answer_is_lost_after_the_timeout_of_the_first_ping() -> None:
    assert run(KeepAlive(20, 10, 0), 100, None) == [("ping", 20), ("lost", 30)]
    assert run(KeepAlive(10, 25, 0), 100, None) == [
        ("ping", 10), ("ping", 20), ("ping", 30), ("lost", 35),
    ]  # fmt: skip


def test_without_a_limit_it_is_pinged_for_ever() -> None:
    assert run(KeepAlive(30, 0, 0), 100, None) == [("ping", 30), ("ping", 60), ("ping", 90)]


def test_who_sends_is_not_pinged_and_whatever_comes_answers_a_ping() -> None:
    alive = KeepAlive(20, 10, 0)
    alive.heard(15)
    assert (alive.step(20, reading=True), alive.due) == ("wait", 35)
    assert alive.step(35, reading=True) == "ping"
    alive.heard(44)  # no Pong, which may be behind much data
    assert (alive.step(45, reading=True), alive.due) == ("wait", 64)


def test_while_nobody_reads_the_time_begins_anew() -> None:
    alive = KeepAlive(20, 10, 0)
    assert alive.step(20, reading=True) == "ping"
    assert (alive.step(30, reading=False), alive.due) == ("wait", 50)


def test_an_interval_of_zero_is_never() -> None:
    assert KeepAlive(0, 10, 0).due == math.inf
