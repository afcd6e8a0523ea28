from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from flowbus import Message
from flowbus.testing import run_flow

Results = dict[str, list[Message]]


@pytest.fixture
def apply() -> Callable[..., Awaitable[Results]]:
    """Send messages through one node; return what left by each outlet, ``error`` too."""

    async def run(
        kind: str, *messages: Message, outlets: tuple[str, ...] = ("out",), **options: Any
    ) -> Results:
        names = (*outlets, "error")
        sinks = {f"sink-{name}": {"type": "test-sink"} for name in names}
        value = {
            "nodes": {"in": {"type": "test-source"}, "node": {"type": kind, **options}, **sinks},
            "wires": [["in", "node"], *([f"node.{name}", f"sink-{name}"] for name in names)],
        }
        results: Results = defaultdict(list)
        with trio.fail_after(10):
            async with run_flow(value) as flow:
                for message in messages:
                    await flow.put("in", message)
                for name in names:
                    results[name] = flow.got(f"sink-{name}")
        return results

    return run


@pytest.fixture
def fault() -> Callable[[Results], Any]:
    """Return the fault of the only message on the error outlet."""

    def of(results: Results) -> Any:
        (message,) = results["error"]
        return message.headers["fault"]

    return of
