"""What a full wire does, time to live, and giving back."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from flowbus import Message, Outcome
from flowbus.clock import Clock
from flowbus.faults import NODE_FAILED
from flowbus.inbox import Inbox
from flowbus.ledger import Line
from flowbus.receipt import End, Receipt
from flowbus.statuswire import StatusWire
from flowbus.wire import Wire


class Bench:
    """A wire, and the ends of what was put on it."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock.of_trio()
        self.inbox = Inbox(self.clock)
        self.wire = Wire("a→b", self.inbox, self.clock, **options)
        self.line = Line("a")
        self.ends: dict[Any, End] = {}

    def item(self, payload: Any) -> tuple[Message, Receipt]:
        self.line.emitted += 1
        receipt = Receipt(self.line, self.clock.now(), lambda end: self.ends.update({payload: end}))
        return Message(payload), receipt

    async def payloads(self, limit: int | None = None) -> list[Any]:
        _, items = await self.inbox.take(limit)
        for _, receipt in items:
            receipt.confirm()
        return [message.payload for message, _ in items]


async def test_order_holds_and_capacity_is_kept() -> None:
    bench = Bench(capacity=3)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.wire.put_many, [bench.item(n) for n in range(10)])
            await trio.testing.wait_all_tasks_blocked()
            assert bench.wire.depth == 3
            got: list[Any] = []
            while len(got) < 10:
                got += await bench.payloads()
                assert bench.wire.as_dict()["high"] <= 3
            assert got == list(range(10))


class Steps(trio.abc.Instrument):
    """Counts how often a task is run."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


async def test_senders_take_turns_and_only_those_wake_who_find_room() -> None:
    bench, steps = Bench(capacity=4), Steps()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for sender in range(50):
                items = [bench.item((sender, n)) for n in range(8)]
                nursery.start_soon(bench.wire.put_many, items)
                await trio.testing.wait_all_tasks_blocked()
            trio.lowlevel.add_instrument(steps)
            got: list[Any] = []
            while len(got) < 400:
                got += await bench.payloads()
            trio.lowlevel.remove_instrument(steps)
    turn = [(sender, n) for sender in range(1, 50) for n in range(4)]
    assert got == [*((0, n) for n in range(8)), *turn, *((sender, n + 4) for sender, n in turn)]
    # A step of the reader and one of a sender for each batch of four, and their ends.
    assert steps.count < 2 * 100 + 150


async def test_single_messages_that_wait_fill_the_room_at_once() -> None:
    bench = Bench(capacity=4)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(bench.wire.put, *bench.item(n))
                await trio.testing.wait_all_tasks_blocked()
            got = []
            for _ in range(3):
                got.append(await bench.payloads())
                await trio.testing.wait_all_tasks_blocked()
            assert sorted(n for batch in got for n in batch) == list(range(12))
            assert [len(batch) for batch in got] == [4, 4, 4]


async def test_nobody_is_left_waiting_when_those_who_were_woken_need_no_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(capacity=2, ttl=1.0)
    old = [bench.item(f"old {n}") for n in range(4)]
    async with trio.open_nursery() as nursery:
        await bench.wire.put_many([bench.item("a"), bench.item("b")])
        for item in old:  # they expire while they wait, and end as soon as there is room
            nursery.start_soon(bench.wire.put, *item)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2)
        nursery.start_soon(bench.wire.put_many, [bench.item(n) for n in range(2)])
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            assert await bench.payloads() == [0, 1]  # the others are older than they may be


async def test_taking_a_message_out_of_its_turn_lets_a_sender_go_on() -> None:
    bench = Bench(capacity=1)
    first = bench.item("a")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await bench.wire.put(*first)
            nursery.start_soon(bench.wire.put, *bench.item("b"))
            await trio.testing.wait_all_tasks_blocked()
            assert bench.wire.withdraw(first[0]) == first
            await trio.testing.wait_all_tasks_blocked()
            assert bench.wire.depth == 1
    first[1].confirm()


async def test_who_waits_and_is_cancelled_wakes_in_nobodys_place() -> None:
    bench = Bench(capacity=2)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await bench.wire.put_many([bench.item("a"), bench.item("b")])
            scope = trio.CancelScope()

            async def cancelled() -> None:
                with scope:
                    await bench.wire.put(*bench.item("c"))

            nursery.start_soon(cancelled)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(bench.wire.put, *bench.item("d"))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert await bench.payloads() == ["a", "b"]
            assert await bench.payloads() == ["d"]


@pytest.mark.parametrize(
    ("when_full", "stay", "gone", "outcome"),
    [
        ("drop-oldest", [2, 3], [0, 1], Outcome.DROPPED),
        ("drop-newest", [0, 1], [2, 3], Outcome.DROPPED),
        ("reject", [0, 1], [2, 3], Outcome.REJECTED),
    ],
)
async def test_what_a_full_wire_does(
    when_full: str, stay: list[int], gone: list[int], outcome: Outcome
) -> None:
    bench = Bench(capacity=2, when_full=when_full)
    await bench.wire.put_many([bench.item(n) for n in range(4)])
    assert {payload: end.outcome for payload, end in bench.ends.items()} == dict.fromkeys(
        gone, outcome
    )
    assert bench.wire.as_dict() == {"passed": 2, "dropped": 2, "depth": 2, "high": 2}
    assert await bench.payloads() == stay


async def test_a_cancelled_put_has_taken_everything() -> None:
    bench = Bench(capacity=2)
    with trio.move_on_after(0) as scope:
        await bench.wire.put_many([bench.item(n) for n in range(5)])
    assert scope.cancelled_caught
    assert await bench.payloads() == [0, 1, 2, 3, 4]


async def test_what_is_given_back_comes_first() -> None:
    bench = Bench()
    await bench.wire.put_many([bench.item(n) for n in range(5)])
    wire, items = await bench.inbox.take(3)
    wire.give_back(items[1:])
    assert await bench.payloads() == [1, 2, 3, 4]


async def test_wires_are_served_in_turn() -> None:
    bench = Bench()
    other = Wire("c→b", bench.inbox, bench.clock)
    await bench.wire.put_many([bench.item(f"a{n}") for n in range(3)])
    await other.put_many([bench.item(f"c{n}") for n in range(3)])
    got = [(await bench.payloads(1))[0] for _ in range(6)]
    assert got == ["a0", "c0", "a1", "c1", "a2", "c2"]


async def test_messages_expire_on_time_while_nobody_reads(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(ttl=2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.wire.expire_on_time)
        await bench.wire.put(*bench.item("old"))
        await trio.sleep(1.5)
        await bench.wire.put(*bench.item("new"))
        await trio.sleep(0.51)
        assert bench.ends["old"].code == "flowbus.expired"
        assert "new" not in bench.ends
        await trio.sleep(1.5)
        assert bench.ends["new"].outcome is Outcome.EXPIRED
        nursery.cancel_scope.cancel()


async def test_a_message_that_is_too_old_is_not_taken_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(ttl=1.0)
    item = bench.item("late")
    await trio.sleep(1.1)
    await bench.wire.put(*item)
    assert bench.ends["late"].outcome is Outcome.EXPIRED
    assert bench.wire.depth == 0


async def test_expiry_makes_room_for_who_waits(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(ttl=1.0, capacity=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.wire.expire_on_time)
        await bench.wire.put(*bench.item(1))
        await trio.sleep(0.9)
        await bench.wire.put(*bench.item(2))
        assert bench.ends[1].outcome is Outcome.EXPIRED
        nursery.cancel_scope.cancel()


async def test_a_node_out_of_service_refuses_and_takes_again() -> None:
    bench = Bench(capacity=1)
    await bench.wire.put(*bench.item(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.wire.put, *bench.item(2))
        await trio.testing.wait_all_tasks_blocked()
        bench.wire.refuse(NODE_FAILED, "five crashes")
    assert {end.code for end in bench.ends.values()} == {"flowbus.node_failed"}
    assert set(bench.ends) == {1, 2}
    bench.wire.accept()
    await bench.wire.put(*bench.item(3))
    assert await bench.payloads() == [3]


async def test_a_status_wire_keeps_the_newest_of_each_node() -> None:
    bench = Bench()
    wire = StatusWire("*.status→b", bench.inbox, bench.clock)
    for node, state in (("x", 1), ("y", 1), ("x", 2), ("x", 3)):
        wire.put_status(Message(state, node))
    _, items = await bench.inbox.take()
    assert [(message.topic, message.payload) for message, _ in items] == [("x", 3), ("y", 1)]
    assert bench.line.emitted == 0
