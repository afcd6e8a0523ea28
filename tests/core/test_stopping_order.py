"""A flow that stops: nodes end first, then the connections that they use, then the links between those, then who listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from flowbus import Config, ConnectionIO, NodeIO, Ref, connection, io_node
from flowbus.cli import hanging
from flowbus.runtime import LIMITS
from flowbus.testing import run_flow

NODES_END = LIMITS[0]
ended: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ended() -> None:
    ended.clear()


class Nothing(Config):
    """No options."""


class Using(Config):
    connection: Ref["bus"]
    farewell: float = 0.0


async def bus_link(config: Nothing, io: ConnectionIO) -> AsyncIterator[str]:
    try:
        yield "link"
    finally:
        ended.append("link")


@connection("bus", link=bus_link, link_key=lambda config: "one")
async def bus(config: Nothing, io: ConnectionIO) -> AsyncIterator[str]:
    await io.link()
    try:
        yield "bus"
    finally:
        ended.append("connection")


@io_node("using")
async def using(config: Using, io: NodeIO) -> None:
    """Take its time to say goodbye over the connection."""
    await io.connection()
    io.connected()
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(config.farewell)
        ended.append("node")


@io_node("listening", listens=True)
async def listening(config: Nothing, io: NodeIO) -> None:
    """Be there for those who dial."""
    io.connected()
    try:
        await trio.sleep_forever()
    finally:
        ended.append("listener")


TYPES = (bus, using, listening)


def flow(**options: Any) -> dict[str, Any]:
    node = {"type": "using", "connection": "line", **options}
    nodes = {"server": {"type": "listening"}, "a": node}
    return {"connections": {"line": {"type": "bus"}}, "nodes": nodes, "wires": []}


@pytest.mark.parametrize("farewell", [0.0, NODES_END - 1])
async def test_each_ends_before_what_it_uses(
    farewell: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with run_flow(flow(farewell=farewell), TYPES) as running:
        await running.wait_running("a")
        await running.stop()
        assert ended == ["node", "connection", "link", "listener"]


async def test_what_does_not_end_holds_the_others_up_for_a_while_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(flow(farewell=100.0), TYPES) as running:
        await running.wait_running("a")
        running.runtime.stop()
        await trio.sleep(NODES_END - 0.1)
        assert ended == []
        await trio.sleep(0.2)
        assert ended == ["connection", "link", "listener"]
        await running.ended.wait()
        assert ended == ["connection", "link", "listener", "node"]


@io_node("deaf", listens=True)
async def deaf(config: Nothing, io: NodeIO) -> None:
    """Do not hear that it is to end."""
    io.connected()
    with trio.CancelScope(shield=True):
        await trio.sleep(100)


async def test_who_never_ends_is_the_only_one_left(autojump_clock: trio.testing.MockClock) -> None:
    nodes = {
        "server": {"type": "deaf"},
        "in": {"type": "test-source"},
        "decode": {"type": "json-decode"},
        "out": {"type": "test-sink"},
    }
    wires = [{"from": "in", "to": "decode", "ttl": 5}, ["decode", "out"]]
    async with run_flow({"nodes": nodes, "wires": wires}, [deaf]) as running:
        await running.wait_running("server", "in", "out")
        running.runtime.stop()
        await running.runtime.ending.wait()
        await trio.sleep(sum(LIMITS) + 0.1)
        root = trio.lowlevel.current_root_task()
        assert root is not None
        left = [who for who in hanging.hanging(root) if who.startswith(hanging.NAMED)]
        assert [who.split(" in ")[0] for who in left] == ["node server"]
        await running.ended.wait()


async def test_one_that_is_cancelled_from_outside_ends_everything_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with run_flow(flow(farewell=100.0), TYPES) as running:
        await running.wait_running("a")
    assert sorted(ended) == ["connection", "link", "listener", "node"]
    assert ended[-1] == "node"
