"""The handle of a connection: who waits for it gets one that is up."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from flowbus.connections import Handle, follow_until_up
from flowbus.status import StatusCell


async def test_a_connection_that_is_down_again_at_once_is_not_given_out() -> None:
    cell = StatusCell()
    handle = Handle(cell, "")
    given: list[str] = []

    async def want() -> None:
        given.append(await follow_until_up(handle, StatusCell()))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want)
            await wait_all_tasks_blocked()
            handle.go_up("first")
            handle.go_down()
            await wait_all_tasks_blocked()
            assert given == []
            handle.go_up("second")
    assert given == ["second"]


async def test_one_that_goes_down_while_it_is_asked_for_is_not_given_out() -> None:
    given: list[str] = []

    async def want(handle: Handle, begun: trio.Event) -> None:
        begun.set()
        given.append(await handle.wait())

    with trio.fail_after(10):
        for _ in range(100):  # trio decides which of the two tasks goes first
            handle, begun = Handle(StatusCell(), ""), trio.Event()
            handle.go_up("first")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(want, handle, begun)
                await begun.wait()
                handle.go_down()
                await wait_all_tasks_blocked()
                handle.go_up("second")
    assert set(given) == {"first", "second"}


async def test_who_waits_before_it_was_ever_up_is_not_forgotten_when_it_goes_down() -> None:
    handle = Handle(StatusCell(), "")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handle.wait)
            await wait_all_tasks_blocked()
            handle.go_down()
            handle.go_up("value")
