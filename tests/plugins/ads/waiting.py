"""What the tests of the ADS client wait for, without a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked


async def until(condition: Callable[[], Any]) -> None:
    """Return once ``condition`` holds; it is looked at whenever nothing else has anything to do."""
    while not condition():
        await wait_all_tasks_blocked()


class Samples:
    """What a subscription delivered, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._more = trio.Event()

    def __call__(self, name: str, filetime: int, value: Any) -> None:
        self.seen.append((name, value))
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, *samples: tuple[str, Any]) -> None:
        while not set(samples) <= set(self.seen):
            await self._more.wait()
