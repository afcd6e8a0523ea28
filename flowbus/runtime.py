"""Run a flow: start its parts in order, keep watch, stop it without losing a message."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import trio

from flowbus import report
from flowbus.build import Parts
from flowbus.clock import Clock
from flowbus.connections import Connection
from flowbus.faults import Fault
from flowbus.flowfile import FlowFile
from flowbus.ionode import IoNode
from flowbus.plugins import Registry
from flowbus.secrets import Redactor
from flowbus.status import State
from flowbus.supervisor import RestartPolicy, Service, supervise

LISTENER_HEAD_START = 1.0  # s that those who dial wait for those who listen, at most
HOUSEKEEPING = 1.0  # s
DRAIN = 10.0  # s
LIMITS = (5.0, 2.0, 1.0, 0.0)  # s that nodes, connections, links and listeners may take to end before what is next
FIRST_LOOK, LAST_LOOK = 0.001, 0.05  # s between looks at what is in flight, while the flow ends


class Exit(Enum):
    """Why a run ended."""

    STOPPED = "stopped as asked"
    ENDED = "every source has ended"
    NO_SOURCE = "every source failed for good"


class Layer:
    """Tasks that end together, and before what they use does: ``limit`` is how long they hold that up, in s."""

    def __init__(self, limit: float) -> None:
        self.start_soon: Callable[..., None]
        self._limit = limit
        self._scope: trio.CancelScope
        self._ended = trio.Event()

    async def run(self, task_status: trio.TaskStatus[Layer]) -> None:
        """Be there until :meth:`end`; the started value is this layer."""
        try:
            async with trio.open_nursery() as nursery:
                self.start_soon, self._scope = nursery.start_soon, nursery.cancel_scope
                task_status.started(self)
                await trio.sleep_forever()
        finally:
            self._ended.set()

    async def end(self) -> None:
        """Cancel the tasks and wait for them."""
        self._scope.cancel()
        with trio.move_on_after(self._limit):
            await self._ended.wait()


class Layers(NamedTuple):
    """In the order in which they end. Listeners start first: others may dial them, and end before them."""

    nodes: Layer
    connections: Layer
    links: Layer
    listeners: Layer


class Runtime:
    """A flow whose parts are built; :meth:`run` runs them once."""

    def __init__(
        self,
        flow: FlowFile,
        registry: Registry,
        *,
        policy: RestartPolicy | None = None,
        redactor: Redactor | None = None,
        drain: float = DRAIN,
    ) -> None:
        """Build ``flow``, which has passed ``check``. Needs a running trio loop, for its clock."""
        self.parts = Parts(flow, registry, Clock.of_trio(), redactor or Redactor())
        self._policy = policy or RestartPolicy()
        self._drain = drain
        #: Set when nothing is in flight any more, or the drain has lasted too long: all tasks are to end.
        self.ending = trio.Event()
        self._stop = trio.Event()
        self._ended: dict[str, trio.Event] = {name: trio.Event() for name in self.parts.io_nodes}
        self._began = trio.current_time()
        self._started = datetime.datetime.now(datetime.UTC)

    def stop(self) -> None:
        """Ask the flow to stop: no new messages, then an end once nothing is in flight."""
        self._stop.set()

    async def run(self) -> Exit:
        """Run until :meth:`stop`, until all sources have ended, or until none is left."""
        async with trio.open_nursery() as nursery:
            self._start_plumbing(nursery)
            layers = Layers(*[await nursery.start(Layer(limit).run) for limit in LIMITS])
            layers.nodes.start_soon(self._start_all, layers)
            reason = await self._wait_for_the_end()
            self.parts.gate.close()
            with trio.move_on_after(self._drain):
                await self._wait_nothing_in_flight()
            self.ending.set()
            for layer in layers:
                await layer.end()
            nursery.cancel_scope.cancel()
        return reason

    def report(self) -> dict[str, Any]:
        """Return what happened so far, in the shape of ``flowbus run --report``."""
        seconds = round(trio.current_time() - self._began, 3)
        return report.final(self.parts, self._started.isoformat(), seconds)

    def status(self) -> dict[str, Any]:
        """Return the report with what is only of interest while the flow runs."""
        return report.live(self.parts, self.report())

    # ---- starting

    def _start_plumbing(self, nursery: trio.Nursery) -> None:
        for stage in self.parts.stages.values():
            stage.start()
        for segment in self.parts.segments:
            nursery.start_soon(segment.run, name=f"segment {segment.stages[0].name}")
        for wire in self.parts.queues:
            if wire.ttl is not None:
                nursery.start_soon(wire.expire_on_time, name=f"ttl {wire.name}")
        nursery.start_soon(self._keep_house)

    async def _start_all(self, layers: Layers) -> None:
        listeners = [node for node in self.parts.io_nodes.values() if node.type.listens]
        for node in listeners:
            self._start_node(layers.listeners, node)
        with trio.move_on_after(LISTENER_HEAD_START):
            for node in listeners:
                await node.seat.cell.wait_until(lambda status: status.state is not State.STARTING)
        for peer in self.parts.links.values():
            self._start_connection(layers.links, peer)
        for peer in self.parts.connections.values():
            self._start_connection(layers.connections, peer)
        for node in self.parts.io_nodes.values():
            if not node.type.listens:
                self._start_node(layers.nodes, node)

    def _start_connection(self, layer: Layer, peer: Connection) -> None:
        run = partial(supervise, peer.run_once, peer.cell, peer.counters, self._policy)
        layer.start_soon(run, name=f"connection {peer.name}")

    def _start_node(self, layer: Layer, node: IoNode) -> None:
        layer.start_soon(self._supervise_node, node, name=f"node {node.seat.name}")

    async def _supervise_node(self, node: IoNode) -> None:
        wires = self.parts.inboxes[node.seat.name].wires

        def out(fault: Fault, text: str) -> None:
            for wire in wires:
                wire.refuse(fault, text)

        def back() -> None:
            for wire in wires:
                wire.accept()

        seat = node.seat
        service = Service(out, back, node.pause)
        await supervise(node.run_once, seat.cell, seat.counters, self._policy, service)
        self._ended[seat.name].set()

    # ---- watching

    async def _keep_house(self) -> None:
        while True:
            await trio.sleep(HOUSEKEEPING)
            self.parts.clock.follow_wall_clock()
            for stage in self.parts.stages.values():
                stage.recover()
            for node in self.parts.io_nodes.values():
                node.seat.custody.find_leaked()

    def _sources(self) -> list[str]:
        """Nodes from which new messages come: those that nothing leads to, and the duplex ones."""
        return [
            name
            for name, node in self.parts.io_nodes.items()
            if node.type.duplex or not self.parts.inboxes[name].wires
        ]

    async def _wait_for_the_end(self) -> Exit:
        reason = Exit.STOPPED

        async def sources_end(done: trio.CancelScope) -> None:
            nonlocal reason
            for name in sources:
                await self._ended[name].wait()
            failed = [self.parts.cells[name].value.state is State.FAILED for name in sources]
            reason = Exit.NO_SOURCE if failed and all(failed) else Exit.ENDED
            # Holders flush, and what is still on its way takes as long as it needs.
            self.parts.gate.close()
            await self._wait_nothing_in_flight()
            done.cancel()

        sources = self._sources()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sources_end, nursery.cancel_scope)
            await self._stop.wait()
            nursery.cancel_scope.cancel()
        return Exit.STOPPED if self._stop.is_set() else reason

    async def _wait_nothing_in_flight(self) -> None:
        pause = FIRST_LOOK
        while self.parts.ledger.in_flight:
            await trio.sleep(pause)
            pause = min(2 * pause, LAST_LOOK)
