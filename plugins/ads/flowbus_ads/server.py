"""The network side of the simulated PLC: TCP clients, the PLC cycle, fault switches."""

from __future__ import annotations

import errno
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import trio

from flowbus import Fault, Lost
from flowbus_ads import faults
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.notes import Outgoing
from flowbus_ads.plc.switches import FaultSwitches
from flowbus_ads.protocol.address import ams_port
from flowbus_ads.protocol.ams import Frame, FrameReader
from flowbus_ads.protocol.constants import RESPONSE_BIT
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.notifications import ns_to_filetime
from flowbus_ads.wire import Wire, accepted

_MAX_BACKLOG: Final = 16 << 20
"""Bytes queued to a client that does not read, above which its notifications are dropped."""
_MAX_REQUEST: Final = 4 << 20

OnWrite = Callable[[SimulatedPlc, str, Any], Awaitable[None]]


class _Client:
    """One TCP connection."""

    def __init__(self, number: int, wire: Wire) -> None:
        self.number, self.wire, self.host = number, wire, wire.peer
        self.frames = FrameReader(_MAX_REQUEST)
        self.scope = trio.CancelScope()
        self.nursery: trio.Nursery


class PlcServer:
    """Serves the runtimes of one simulated PLC, each at its AMS port, to any number of TCP clients.

    ``plc`` is the first, which answers for ports that no runtime has. ``cycle`` is the PLC cycle in
    seconds: values move and notifications leave on it. ``on_write`` is awaited for each value that a
    client writes, with its runtime; while it waits, that client is not read from.
    A client whose NetId is not admitted is cut off at its first request, as by a real router.
    """

    def __init__(
        self,
        plc: SimulatedPlc,
        *others: SimulatedPlc,
        cycle: float = 0.01,
        on_write: OnWrite | None = None,
        on_fault: Callable[[Fault, str], None] | None = None,
        admits: Callable[[bytes], bool] = lambda net_id: True,
    ) -> None:
        self.plc, self.switches = plc, FaultSwitches()
        self.runtimes = {other.port: other for other in (plc, *others)}
        self.dropped_notifications = 0
        self.port = 0
        self._cycle = cycle
        self._on_write, self._on_fault, self._admits = on_write, on_fault, admits
        self._clients: dict[int, _Client] = {}
        self._next_client = 1
        self._busy = trio.Event()

    @property
    def clients(self) -> int:
        """TCP connections that are open."""
        return len(self._clients)

    async def serve(
        self, host: str, port: int, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen and serve until cancelled; the started value is the TCP port. Raises Lost."""
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            fault = (
                faults.ADDRESS_IN_USE if error.errno == errno.EADDRINUSE else faults.CANNOT_CONNECT
            )
            raise Lost(fault, f"{host}:{port}: {error.strerror or error}") from error
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_cycle)
            await nursery.start(trio.serve_listeners, self._serve_client, listeners)
            task_status.started(self.port)

    def drop_clients(self) -> None:
        """Close every TCP connection at once."""
        for client in list(self._clients.values()):
            client.scope.cancel()

    def online_change(self, plc: SimulatedPlc) -> None:
        """Make every handle of a runtime stale, as an online change of its program does."""
        self._send(plc.online_change(_filetime()))

    def null_samples(self, plc: SimulatedPlc) -> None:
        """Send an empty sample of every notification, as some online changes do, and change nothing."""
        self._send(plc.notes.empty(_filetime()))

    def burst(self, plc: SimulatedPlc, count: int) -> None:
        """Send ``count`` samples of every notification of a runtime at once."""
        self._send(plc.notes.burst(plc, _filetime(), count))

    # ---- clients

    async def _serve_client(self, stream: trio.SocketStream) -> None:
        try:
            client = _Client(self._next_client, accepted(stream))
        except OSError:  # it has hung up before it was served
            return
        self._next_client += 1
        if self.switches.single_client:
            for other in [c for c in self._clients.values() if c.host == client.host]:
                other.scope.cancel()
        self._clients[client.number] = client
        try:
            with client.scope:
                async with trio.open_nursery() as nursery:
                    client.nursery = nursery
                    nursery.start_soon(self._write_loop, client)
                    await self._read_loop(client)
                    nursery.cancel_scope.cancel()
        finally:
            self._clients.pop(client.number, None)
            for plc in self.runtimes.values():
                plc.notes.drop_owner(client.number)
            client.wire.close()

    async def _read_loop(self, client: _Client) -> None:
        try:
            while data := await client.wire.receive():
                for frame in client.frames.feed(data):
                    self._take(client, frame)
                if self.switches.slow:
                    await trio.sleep(self.switches.slow)
                client.wire.flush_now()
                for plc in self.runtimes.values():
                    if plc.writes:
                        await self._report_writes(plc)
                    if len(plc.notes):
                        self._busy.set()
        except ProtocolError as error:
            if self._on_fault is not None:
                self._on_fault(faults.BAD_CLIENT, f"{client.host}: {error}")
        except OSError:  # the client is gone: what it asked for goes with it
            return

    async def _write_loop(self, client: _Client) -> None:
        try:
            while True:
                await client.wire.wait_output()
                await client.wire.flush()
        except OSError:  # the reader sees the end of the connection too
            return

    def _take(self, client: _Client, frame: Frame) -> None:
        if frame.flags & RESPONSE_BIT:
            return
        if not self._admits(frame.source[:6]):
            client.scope.cancel()
            return
        plc = self.runtimes.get(ams_port(frame.target), self.plc)
        answer = plc.answer(client.number, frame)
        if answer:
            answer = self.switches.spoil(answer)
        if not answer:
            return
        cut = self.switches.cut(answer)
        if cut:
            client.wire.put_quietly(cut)
            client.wire.flush_now()
            client.scope.cancel()
            return
        seconds = self.switches.hold()
        if seconds:
            client.nursery.start_soon(self._answer_late, client, answer, seconds)
        else:
            client.wire.put_quietly(answer)

    async def _answer_late(self, client: _Client, answer: bytes, seconds: float) -> None:
        await trio.sleep(seconds)
        client.wire.put(answer)

    async def _report_writes(self, plc: SimulatedPlc) -> None:
        writes, plc.writes = plc.writes, []
        if self._on_write is not None:
            for name, value in writes:
                await self._on_write(plc, name, value)

    # ---- the PLC cycle

    async def _run_cycle(self) -> None:
        start = next_turn = trio.current_time()
        while True:
            if not any(plc.is_busy for plc in self.runtimes.values()):
                self._busy = trio.Event()
                await self._busy.wait()
                next_turn = trio.current_time()
            now = trio.current_time()
            for plc in self.runtimes.values():
                self._send(plc.cycle(now - start, now, _filetime()))
            next_turn = max(next_turn + self._cycle, trio.current_time())
            await trio.sleep_until(next_turn)

    def _send(self, outgoing: Sequence[Outgoing]) -> None:
        if self.switches.mute:
            return
        for number, data in outgoing:
            client = self._clients.get(number)
            if client is None:
                continue
            if client.wire.queued > _MAX_BACKLOG:
                self.dropped_notifications += 1
            else:
                client.wire.put(data)


def _filetime() -> int:
    return ns_to_filetime(time.time_ns())
