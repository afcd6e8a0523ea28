"""A node that misbehaves, in every way we could think of, harms no other node."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from flowbus import Config, Message, NodeIO, Outcome, State, io_node, transform
from flowbus.node import NodeType
from flowbus.supervisor import RestartPolicy
from flowbus.testing import Flow, run_flow


class Nothing(Config):
    """No options."""


@transform("ok")
def ok(message: Message, config: Nothing) -> Message:
    return message.with_payload(message.payload + 1)


@io_node("raises")
async def raises(config: Nothing, io: NodeIO) -> None:
    await io.take()
    raise KeyError("a bug")


@io_node("raises-in-nursery")
async def raises_in_nursery(config: Nothing, io: NodeIO) -> None:
    async def child() -> None:
        await io.take()
        raise KeyError("a bug")

    async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
        outer.start_soon(trio.sleep_forever)
        nursery.start_soon(child)
        nursery.start_soon(trio.sleep_forever)


@io_node("raises-base")
async def raises_base(config: Nothing, io: NodeIO) -> None:
    await io.take()
    raise SystemExit(3)


@io_node("leaks-nursery")
async def leaks_nursery(config: Nothing, io: NodeIO) -> None:
    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    nursery.start_soon(trio.sleep_forever)
    await io.take()


@io_node("leaks-scope")
async def leaks_scope(config: Nothing, io: NodeIO) -> None:
    trio.CancelScope().__enter__()
    await io.take()


@io_node("stray-cancelled")
async def stray_cancelled(config: Nothing, io: NodeIO) -> None:
    await io.take()
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            stray = cancelled
    raise stray


@io_node("spins")
async def spins(config: Nothing, io: NodeIO) -> None:
    async def handle(message: Message) -> None:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            pass

    await io.each(handle)


@transform("spins-transform")
def spins_transform(message: Message, config: Nothing) -> Message:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    return message


@io_node("returns-garbage")
async def returns_garbage(config: Nothing, io: NodeIO) -> None:
    async def handle(message: Message) -> Any:
        return 42

    await io.each(handle)


@transform("garbage")
def garbage(message: Message, config: Nothing) -> Any:
    return {"nowhere": message}


@io_node("never-ready", listens=True)
async def never_ready(config: Nothing, io: NodeIO) -> None:
    await trio.sleep_forever()


@io_node("fails-at-stop")
async def fails_at_stop(config: Nothing, io: NodeIO) -> None:
    """Two tasks; one answers the cancellation with an error of its own."""

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("closing failed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(trio.sleep_forever)


@io_node("hogs")
async def hogs(config: Nothing, io: NodeIO) -> None:
    """Sends as fast as it goes, to nobody."""
    while True:
        await io.send(Message(0), "out")


@io_node("holds")
async def holds(config: Nothing, io: NodeIO) -> None:
    """Takes everything and ends nothing."""
    kept = []
    while True:
        kept += await io.take_many()


TYPES: list[NodeType] = [
    ok, raises, raises_in_nursery, raises_base, leaks_nursery, leaks_scope, stray_cancelled, spins,
    spins_transform, returns_garbage, garbage, never_ready, fails_at_stop, hogs, holds,
]  # fmt: skip
QUICK = RestartPolicy(first_delay=0.01, max_delay=0.02, failed_pause=3600)


@contextlib.asynccontextmanager
async def beside(bad: str) -> AsyncIterator[Flow]:
    """A healthy path beside a path to a bad node."""
    flow = {
        "nodes": {
            "in": {"type": "test-source"},
            "ok": {"type": "ok"},
            "out": {"type": "test-sink"},
            "bad-in": {"type": "test-source"},
            "bad": {"type": bad},
        },
        "wires": [["in", "ok"], ["ok", "out"], {"from": "bad-in", "to": "bad", "when_full": "reject"}],
    }
    with trio.fail_after(30):
        async with run_flow(flow, TYPES, policy=QUICK, drain=0.2) as running:
            await running.wait_running("in", "ok", "out", "bad-in")
            yield running


async def healthy_path_works(flow: Flow) -> None:
    for number in range(200):
        flow.put_soon("in", Message(number))
    assert [(await flow.get("out")).payload for _ in range(200)] == list(range(1, 201))


@pytest.mark.parametrize(
    "bad", ["raises", "raises-in-nursery", "raises-base", "leaks-nursery", "stray-cancelled"]
)
async def test_a_crash_rejects_its_message_and_harms_no_other(bad: str) -> None:
    async with beside(bad) as flow:
        end = await flow.put("bad-in", Message(1))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.bug")
        await healthy_path_works(flow)
        assert flow.report()["nodes"]["bad"]["restarts"] >= 1


@pytest.mark.parametrize("bad", ["raises", "raises-in-nursery", "raises-base", "leaks-nursery"])
async def test_after_five_crashes_it_is_failed_and_refuses(bad: str) -> None:
    async with beside(bad) as flow:
        for number in range(5):
            assert (await flow.put("bad-in", Message(number))).code == "flowbus.bug"
        await flow.wait_state("bad", State.FAILED)
        end = await flow.put("bad-in", Message(6))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.bug")
        await healthy_path_works(flow)


@pytest.mark.parametrize("bad", ["spins", "spins-transform"])
async def test_who_spins_for_a_second_holds_up_but_harms_no_other(bad: str) -> None:
    async with beside(bad) as flow:
        flow.put_soon("bad-in", Message(1))
        await healthy_path_works(flow)
        await flow.wait_settled()
        await healthy_path_works(flow)
        if bad == "spins-transform":
            assert flow.status("bad").code == "flowbus.blocked_loop"


async def test_a_node_that_ends_rejects_what_it_left_open() -> None:
    async with beside("leaks-scope") as flow:
        assert (await flow.put("bad-in", Message(1))).code == "flowbus.node_ended"
        assert (await flow.put("bad-in", Message(2))).code == "flowbus.node_ended"
        assert flow.status("bad").state is State.STOPPED
        await healthy_path_works(flow)


async def test_garbage_from_a_handler_is_a_bug_of_that_node() -> None:
    async with beside("returns-garbage") as flow:
        end = await flow.put("bad-in", Message(1))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.bug")
        assert "int" in end.text
        await healthy_path_works(flow)


async def test_garbage_from_a_transform_degrades_it() -> None:
    async with beside("garbage") as flow:
        end = await flow.put("bad-in", Message(1))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.bug")
        assert "there is no outlet 'nowhere'" in end.text
        assert flow.status("bad").state is State.DEGRADED
        await healthy_path_works(flow)


async def test_who_is_never_ready_delays_nobody_for_long() -> None:
    async with beside("never-ready") as flow:
        await healthy_path_works(flow)
        assert flow.status("bad").state is State.STARTING


@pytest.mark.parametrize("bad", ["hogs", "holds"])
async def test_a_hog_and_a_hoarder_do_not_starve_others(bad: str) -> None:
    async with beside(bad) as flow:
        flow.put_soon("bad-in", Message(1))
        await healthy_path_works(flow)


async def test_an_error_while_stopping_does_not_end_the_run_early() -> None:
    async with beside("fails-at-stop") as flow:
        await healthy_path_works(flow)
        report = await flow.stop()
    assert report["ledger"]["in_flight"] == 0
