"""What a node gets as its options each time it starts: what may have changed is read anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from flowbus import Config, Message, NodeIO, io_node
from flowbus.testing import run_flow


class Options(Config):
    """A text, a list and, optionally, a dictionary."""

    text: str = ""
    names: tuple[str, ...] = ()
    table: dict[str, int] | None = None


async def seen_twice(options: dict[str, Any], between: Callable[[], Any] = bool) -> list[Options]:
    """Return the options of two starts of a node that fails at its first message."""
    seen: list[Options] = []
    twice = trio.Event()

    @io_node("restarts")
    async def restarts(config: Options, io: NodeIO) -> None:
        seen.append(config)
        if len(seen) == 2:
            twice.set()
        io.connected()
        await io.take()
        if config.table is not None:
            config.table["own"] = 1
        raise KeyError("a bug")

    flow = {
        "nodes": {"in": {"type": "test-source"}, "node": {"type": "restarts", **options}},
        "wires": [["in", "node"]],
    }
    with trio.fail_after(10):
        async with run_flow(flow, [restarts]) as running:
            await running.wait_running("node")
            between()
            running.put_soon("in", Message(1))
            await twice.wait()
    return seen


async def test_a_file_that_an_option_names_is_read_again(tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("first")
    options = {"names": [f"${{file:{word}}}"]}
    first, second = await seen_twice(options, lambda: word.write_text("second"))
    assert (first.names, second.names) == (("first",), ("second",))


async def test_what_a_node_has_changed_in_its_options_is_gone_when_it_restarts() -> None:
    _, second = await seen_twice({"names": ["a"], "table": {"x": 1}})
    assert second == Options(names=("a",), table={"x": 1})


async def test_options_that_cannot_change_are_decoded_once() -> None:
    first, second = await seen_twice({"text": "t", "names": ["a", "b"]})
    assert first is second
