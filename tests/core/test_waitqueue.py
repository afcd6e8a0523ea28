"""Wait queues wake in turn, as many as find what they want, and forget who was cancelled."""

from __future__ import annotations

import trio
import trio.testing

from flowbus.waitqueue import WaitQueue


class Waiters:
    """Tasks that wait with a number, and the order in which they woke."""

    def __init__(self, nursery: trio.Nursery, wanted: list[int]) -> None:
        self.queue = WaitQueue()
        self.woken: list[int] = []
        self.scopes = [trio.CancelScope() for _ in wanted]
        self._nursery = nursery
        self._wanted = wanted

    async def start(self) -> None:
        for index, wanted in enumerate(self._wanted):
            self._nursery.start_soon(self._wait, index, wanted)
            await trio.testing.wait_all_tasks_blocked()

    async def _wait(self, index: int, wanted: int) -> None:
        with self.scopes[index]:
            await self.queue.wait(wanted)
            self.woken.append(index)


async def test_tasks_wake_in_the_order_in_which_they_came() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            waiters = Waiters(nursery, [1, 1, 1])
            waiters.queue.wake()  # nobody is there: nothing happens, and nothing is remembered
            await waiters.start()
            assert (len(waiters.queue), waiters.woken) == (3, [])
            waiters.queue.wake()
            assert len(waiters.queue) == 2
            await trio.testing.wait_all_tasks_blocked()
            assert waiters.woken == [0]
            waiters.queue.wake_all()
            assert len(waiters.queue) == 0
    assert sorted(waiters.woken) == [0, 1, 2]


async def test_as_many_wake_as_find_what_they_want() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            waiters = Waiters(nursery, [0, 3, 3, 3])
            await waiters.start()
            waiters.queue.wake_for(0)
            assert len(waiters.queue) == 4
            waiters.queue.wake_for(4)  # the third wants more than is left, but gets the rest
            assert len(waiters.queue) == 1
            await trio.testing.wait_all_tasks_blocked()
            assert sorted(waiters.woken) == [0, 1, 2]
            waiters.queue.wake_for(100)
    assert waiters.woken[-1] == 3


async def test_who_is_cancelled_has_left() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            waiters = Waiters(nursery, [1, 1, 1])
            await waiters.start()
            waiters.scopes[0].cancel()
            waiters.queue.wake()  # the cancelled one is still in the queue's first place, or was
            await trio.testing.wait_all_tasks_blocked()
            waiters.queue.wake_all()
    assert len(waiters.queue) == 0
    assert 1 in waiters.woken
