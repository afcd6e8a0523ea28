"""The plugin of the guide: it is found by its entry point, and its nodes do what it says."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from flowbus import ConfigError, Message, Outcome, State, plugins
from flowbus.testing import run_flow

installed = pytest.mark.skipif(
    importlib.util.find_spec("flowbus_example") is None,
    reason="flowbus-example is not installed: pip install -e plugins/example",
)
pytestmark = installed
PLUGIN = Path(__file__).parents[3] / "plugins" / "example"


def test_the_entry_point_is_found() -> None:
    registry = plugins.installed()
    for name in ("scale", "tcp-read"):
        assert registry.nodes[name].name == name
        assert registry.nodes[name].plugin == "flowbus-example"
    assert registry.faults()["example.closed"].next_step
    assert not registry.failed
    assert not registry.broken_plugins


def test_it_is_short_enough_to_be_read() -> None:
    for module, lines in (("scale.py", 25), ("tcp_read.py", 35)):
        assert len((PLUGIN / "flowbus_example" / module).read_text().splitlines()) <= lines


def scaling(**options: Any) -> dict[str, Any]:
    return {
        "nodes": {
            "in": {"type": "test-source"},
            "x": {"type": "scale", **options},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "x"], ["x", "out"]],
    }


async def test_scale_scales_and_refuses_what_is_no_number() -> None:
    with trio.fail_after(10):
        async with run_flow(scaling(factor=1.8, offset=32)) as flow:
            assert (await flow.put("in", Message(20, "t"))).outcome is Outcome.CONFIRMED
            out = await flow.get("out")
            assert (out.payload, out.topic) == (68.0, "t")
            for payload in ("20", None, True, [1]):
                end = await flow.put("in", Message(payload))
                assert end.outcome is Outcome.REJECTED
                assert end.text == f"{payload!r} is not a number"


async def test_tcp_read_emits_what_comes_and_dials_again() -> None:
    calls = 0
    hang_up = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal calls
        calls += 1
        async with stream:
            await stream.send_all(b"hello %d" % calls)
            await (hang_up if calls == 1 else trio.Event()).wait()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            nodes = {
                "in": {"type": "tcp-read", "host": "127.0.0.1", "port": port},
                "out": {"type": "test-sink"},
            }
            async with run_flow({"nodes": nodes, "wires": [["in", "out"]]}) as flow:
                assert (await flow.get("out")).payload == b"hello 1"
                hang_up.set()
                await flow.wait_code("in", "example.closed")
                assert (await flow.get("out")).payload == b"hello 2"
                assert flow.status("in").text == f"127.0.0.1:{port}"
                assert flow.report()["nodes"]["in"]["restarts"] == 1
            nursery.cancel_scope.cancel()


async def test_tcp_read_waits_for_a_peer_that_is_not_there() -> None:
    with trio.socket.socket() as taken:  # bound but not listening: dialling it is refused
        await taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        nodes = {
            "in": {"type": "tcp-read", "host": "127.0.0.1", "port": port},
            "out": {"type": "test-sink"},
        }
        with trio.fail_after(10):
            async with run_flow({"nodes": nodes, "wires": [["in", "out"]]}) as flow:
                status = await flow.wait_state("in", State.WAITING)
                assert status.code == "flowbus.lost"


@pytest.mark.parametrize(
    "options", [{}, {"host": "", "port": 1}, {"host": "a", "port": 0}, {"host": "a", "port": True}]
)
async def test_a_bad_address_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        async with run_flow({"nodes": {"in": {"type": "tcp-read", **options}}, "wires": []}):
            pass
