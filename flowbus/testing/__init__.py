"""For plugin authors' tests: run a flow inside a test and talk to it.

A ``test-source`` emits what the test puts into it, a ``test-sink`` keeps and confirms what it
takes. Both exist only inside :func:`run_flow`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import trio

from flowbus import plugins
from flowbus.check import check
from flowbus.config import Config
from flowbus.connections import ConnectionType
from flowbus.flowfile import from_value
from flowbus.message import Message
from flowbus.node import NodeType, io_node
from flowbus.nodeio import NodeIO
from flowbus.problem import FlowFileError
from flowbus.receipt import End
from flowbus.runtime import Exit, Runtime
from flowbus.secrets import Redactor
from flowbus.status import State, Status, StatusCell
from flowbus.supervisor import RestartPolicy

__all__ = ["Flow", "run_flow"]

IMPATIENT = RestartPolicy(first_delay=0.02, max_delay=0.2)


class _NoOptions(Config):
    """A node of a test."""


class Flow:
    """A flow that runs inside a test."""

    def __init__(self, value: Mapping[str, Any], types: Iterable[NodeType | ConnectionType]) -> None:
        self._inputs: dict[str, tuple[trio.MemorySendChannel[Any], trio.MemoryReceiveChannel[Any]]] = {}
        self._outputs: dict[str, tuple[trio.MemorySendChannel[Any], trio.MemoryReceiveChannel[Any]]] = {}
        self.registry = plugins.installed()
        own = {kind.name: kind for kind in (*self._test_types(), *types)}
        for part, kind_of in (("nodes", NodeType), ("connections", ConnectionType)):
            self.registry.add("test", {part: {n: k for n, k in own.items() if isinstance(k, kind_of)}})
        flow = from_value({"flowbus": 1, **value})
        checked = check(flow, self.registry)
        errors = [problem for problem in checked.problems if problem.severity == "error"]
        if errors:
            raise FlowFileError(errors)
        self._flow = flow
        self.runtime: Runtime
        self.exit: Exit | None = None
        self.ended = trio.Event()

    def build(self, policy: RestartPolicy, drain: float) -> None:
        """Build the runtime; needs a running trio loop."""
        self.runtime = Runtime(
            self._flow, self.registry, policy=policy, redactor=Redactor(), drain=drain
        )

    def _test_types(self) -> tuple[NodeType, ...]:
        @io_node("test-source")
        async def source(config: _NoOptions, io: NodeIO) -> None:
            """Emit what the test puts in."""
            io.connected()
            async for message, outlet, on_end in self._input(io.name)[1]:
                await io.send(message, outlet, on_end=on_end)

        @io_node("test-sink", outlets=())
        async def sink(config: _NoOptions, io: NodeIO) -> None:
            """Keep what arrives for the test."""

            async def keep(message: Message) -> None:
                await self._output(io.name)[0].send(message)

            await io.each(keep)

        return source, sink

    def _input(self, name: str) -> Any:
        return self._inputs.setdefault(name, trio.open_memory_channel[Any](100_000))

    def _output(self, name: str) -> Any:
        return self._outputs.setdefault(name, trio.open_memory_channel[Any](100_000))

    def put_soon(self, node: str, message: Message) -> None:
        """Have a ``test-source`` emit ``message``; do not wait for its end."""
        self._input(node)[0].send_nowait((message, "out", None))

    async def put(self, node: str, message: Message) -> End:
        """Have a ``test-source`` emit ``message`` and return how it ended."""
        ended = trio.Event()
        ends: list[End] = []

        def on_end(end: End) -> None:
            ends.append(end)
            ended.set()

        self._input(node)[0].send_nowait((message, "out", on_end))
        await ended.wait()
        return ends[0]

    def end_source(self, node: str) -> None:
        """Let a ``test-source`` return once it has emitted what was put in."""
        self._input(node)[0].close()

    async def get(self, node: str) -> Message:
        """Return the next message that a ``test-sink`` took."""
        message: Message = await self._output(node)[1].receive()
        return message

    def got(self, node: str) -> list[Message]:
        """Return the messages that a ``test-sink`` took and nobody asked for yet."""
        messages = []
        with contextlib.suppress(trio.WouldBlock):
            while True:
                messages.append(self._output(node)[1].receive_nowait())
        return messages

    def status(self, name: str) -> Status:
        """Return the status of a node or connection now."""
        return self._cell(name).value

    async def wait_running(self, *names: str) -> None:
        """Return once these nodes and connections are running, by default all."""
        for name in names or (*self.runtime.parts.cells, *self.runtime.parts.connections):
            await self.wait_state(name, State.RUNNING)

    async def wait_state(self, name: str, state: State) -> Status:
        """Return once the node or connection is in ``state``."""
        return await self._cell(name).wait_until(lambda status: status.state is state)

    async def wait_code(self, name: str, code: str) -> Status:
        """Return once the status of the node or connection has this fault code."""
        return await self._cell(name).wait_until(lambda status: status.code == code)

    async def wait_settled(self) -> None:
        """Return once everything that was put in has been emitted and nothing is in flight."""
        # The end of a message sets no event: that would be paid by every message of every flow.
        while self.runtime.parts.ledger.in_flight or self._waits_to_be_emitted():  # noqa: ASYNC110
            await trio.sleep(0.005)

    def _waits_to_be_emitted(self) -> bool:
        return any(send.statistics().current_buffer_used for send, _ in self._inputs.values())

    def report(self) -> dict[str, Any]:
        """Return the report as it would be if the flow ended now."""
        return self.runtime.report()

    async def stop(self) -> dict[str, Any]:
        """Stop the flow as SIGTERM does and return the final report."""
        self.runtime.stop()
        await self.ended.wait()
        return self.report()

    def _cell(self, name: str) -> StatusCell:
        parts = self.runtime.parts
        return parts.connections[name].cell if name in parts.connections else parts.cells[name]


@contextlib.asynccontextmanager
async def run_flow(
    value: Mapping[str, Any],
    types: Iterable[NodeType | ConnectionType] = (),
    *,
    policy: RestartPolicy = IMPATIENT,
    drain: float = 5.0,
) -> AsyncIterator[Flow]:
    """Run a flow given as the value of a flow file (``flowbus`` may be left out) inside a test.

    ``types`` are node and connection types beside those of installed plugins. Restarts come
    quickly unless ``policy`` says otherwise. Raises FlowFileError where the flow is wrong.
    """
    flow = Flow(value, types)
    flow.build(policy, drain)

    async def run() -> None:
        flow.exit = await flow.runtime.run()
        flow.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield flow
        nursery.cancel_scope.cancel()
