"""The nodes of the plugin guide do what the guide says of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from flowbus import Message, Outcome, State
from flowbus.testing import run_flow
from tests.docs.examples.batches import tcp_lines, tcp_write
from tests.docs.examples.line import line, line_set


class Device:
    """Answers OK to a number, NO to what is above 100, and hangs up at 13 without an answer."""

    def __init__(self) -> None:
        self.values: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        rest = b""
        async with stream:
            async for chunk in stream:
                *lines, rest = (rest + bytes(chunk)).split(b"\n")
                for question in lines:
                    value = question.decode().removeprefix("SET speed ")
                    if value == "13":
                        return
                    self.values.append(value)
                    await stream.send_all(b"OK\n" if float(value) <= 100 else b"NO too fast\n")


@asynccontextmanager
async def serving(serve: Any) -> AsyncIterator[int]:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            yield listener.socket.getsockname()[1]
            nursery.cancel_scope.cancel()


def setting(port: int) -> dict[str, Any]:
    return {
        "connections": {"device": {"type": "line", "host": "127.0.0.1", "port": port}},
        "nodes": {
            "in": {"type": "test-source"},
            "set": {"type": "line-set", "connection": "device", "name": "speed"},
        },
        "wires": [["in", "set"]],
    }


async def test_a_write_ends_with_the_answer_of_the_device() -> None:
    device = Device()
    async with serving(device.serve) as port, run_flow(setting(port), [line, line_set]) as flow:
        assert (await flow.put("in", Message(40))).outcome is Outcome.CONFIRMED
        refused = await flow.put("in", Message(400))
        assert (refused.code, refused.text) == ("line.refused", "NO too fast")
        assert (await flow.put("in", Message("fast"))).code == "flowbus.rejected"
        assert device.values == ["40", "400"]


async def test_a_write_without_an_answer_is_unconfirmed_and_not_repeated() -> None:
    device = Device()
    async with serving(device.serve) as port, run_flow(setting(port), [line, line_set]) as flow:
        assert (await flow.put("in", Message(13))).code == "flowbus.unconfirmed"
        await flow.wait_state("device", State.RUNNING)
        assert (await flow.put("in", Message(14))).outcome is Outcome.CONFIRMED
        assert device.values == ["14"]
        assert flow.report()["connections"]["device"]["restarts"] == 1


async def test_lines_are_emitted_one_by_one() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(b"one\ntwo\nthr")
        await stream.send_all(b"ee\n")
        await trio.sleep_forever()

    async with serving(serve) as port:
        nodes = {
            "in": {"type": "tcp-lines", "host": "127.0.0.1", "port": port},
            "out": {"type": "test-sink"},
        }
        async with run_flow({"nodes": nodes, "wires": [["in", "out"]]}, [tcp_lines]) as flow:
            assert [(await flow.get("out")).payload for _ in range(3)] == [b"one", b"two", b"three"]


async def test_what_waits_is_written_together() -> None:
    got = bytearray()
    complete = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        async for chunk in stream:
            got.extend(chunk)
            if got == b"abd":
                complete.set()

    async with serving(serve) as port:
        nodes = {
            "in": {"type": "test-source"},
            "out": {"type": "tcp-write", "host": "127.0.0.1", "port": port},
        }
        async with run_flow({"nodes": nodes, "wires": [["in", "out"]]}, [tcp_write]) as flow:
            for payload in (b"a", b"b", "c"):
                flow.put_soon("in", Message(payload))
            assert (await flow.put("in", Message(b"d"))).outcome is Outcome.CONFIRMED
            await flow.stop()
            ledger = flow.report()["ledger"]
            assert (ledger["confirmed"], ledger["rejected"]) == (3, 1)
        await complete.wait()
