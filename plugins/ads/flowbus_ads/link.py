"""One TCP connection to an ADS router, shared by every AMS port and connection behind it.

One reader, one writer that joins the requests of a tick, and a table of invoke id to waiter. A
request that is cancelled or late forgets its invoke id; an answer that nobody waits for is counted
and ignored, so the connection stays usable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import trio

from flowbus import Fault, Lost
from flowbus_ads import faults
from flowbus_ads.errors import AdsError, Refusal
from flowbus_ads.notes import NoteTable
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.ams import HEADER, Frame, FrameReader
from flowbus_ads.protocol.constants import REQUEST, RESPONSE_BIT, Command
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.wire import Wire, dial

_FIRST_PORT: Final = 33000
_SLOWEST_SWEEP: Final = 0.5


class Pending(Protocol):
    """What waits for the answer to one invoke id; called once, synchronously."""

    deadline: float

    def answer(self, error: int, data: bytes) -> None:
        """Take the error of the AMS header (0 for none) and the data."""

    def fail(self, fault: Fault, text: str) -> None:
        """No answer will come."""


class Waiter:
    """A task that waits for one answer: ``error`` and ``data``, or ``lost``."""

    __slots__ = ("_task", "data", "deadline", "error", "lost")

    def __init__(self, task: trio.lowlevel.Task, deadline: float) -> None:
        self._task, self.deadline = task, deadline
        self.error, self.data = 0, b""
        self.lost: Lost | None = None

    def answer(self, error: int, data: bytes) -> None:
        """Wake the task with an answer."""
        self.error, self.data = error, data
        trio.lowlevel.reschedule(self._task)

    def fail(self, fault: Fault, text: str) -> None:
        """Wake the task without one."""
        self.lost = Lost(fault, text)
        trio.lowlevel.reschedule(self._task)


class Nobody:
    """Waits for an answer that does not matter, such as to a clean-up."""

    __slots__ = ("deadline",)

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def answer(self, error: int, data: bytes) -> None:
        """Ignore it."""

    def fail(self, fault: Fault, text: str) -> None:
        """Ignore it."""


class AmsLink:
    """The requests in flight and the notification handles of one TCP connection.

    ``net_id`` is the own NetId that requests carry as their source, ``peer`` the router's IP
    address, ``local`` the own one. Counters are public.
    """

    def __init__(self, wire: Wire, place: str, net_id: bytes) -> None:
        self.place, self.net_id, self.peer, self.local = place, net_id, wire.peer, wire.local
        self.notes = NoteTable(self._delete_note)
        self.late_answers = 0
        self.strange_frames = 0
        self.requests = 0
        self.last_received = float("-inf")
        self._wire = wire
        self._frames = FrameReader()
        self._pending: dict[int, Pending] = {}
        self._invoke_id = 0
        self._batches: list[Callable[[], None]] = []
        self._next_port = _FIRST_PORT
        self._sweep = _SLOWEST_SWEEP
        self._ended: Lost | None = None
        self._doomed = trio.Event()

    def new_port(self) -> int:
        """Return a source AMS port that no other client of this link was given."""
        self._next_port += 1
        return self._next_port - 1

    def expect(self, timeout: float) -> None:
        """Look for late answers often enough for requests of this ``timeout`` (seconds)."""
        self._sweep = min(self._sweep, max(timeout / 8, 0.01))

    def post(
        self, target: bytes, source: bytes, command: int, data: bytes, pending: Pending
    ) -> int:
        """Send a request at the end of this tick and return its invoke id; does not wait."""
        self.check()
        invoke_id = self._invoke_id = self._invoke_id % 0xFFFF_FFFF + 1
        if invoke_id in self._pending:
            return self.post(target, source, command, data, pending)
        self._pending[invoke_id] = pending
        self.requests += 1
        size = len(data)
        head = HEADER.pack(0, 32 + size, target, source, command, REQUEST, size, 0, invoke_id)
        self._wire.put_quietly(head + data)
        if len(self._pending) == 1 and not self._batches:  # nobody to share a system call with
            self._wire.flush_now()
        else:
            self._wire.wake()
        return invoke_id

    async def request(
        self, target: bytes, source: bytes, command: Command, data: bytes, timeout: float
    ) -> bytes:
        """Send a request and return the data of its answer.

        Raises AdsError when a router refuses it, Lost when no answer comes in ``timeout`` seconds
        or the connection breaks.
        """
        waiter = Waiter(trio.lowlevel.current_task(), trio.current_time() + timeout)
        invoke_id = self.post(target, source, command, data, waiter)

        def forget(_: Any) -> trio.lowlevel.Abort:
            self._pending.pop(invoke_id, None)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(forget)
        if waiter.lost is not None:
            raise waiter.lost
        if waiter.error:
            raise AdsError(Refusal(waiter.error, "router"), command.name.lower())
        return waiter.data

    def batch(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` at the end of this tick, just before sending."""
        self.check()
        self._batches.append(flush)
        self._wire.wake()

    def check(self) -> None:
        """Raise Lost when the connection has ended."""
        if self._ended is not None:
            raise Lost(self._ended.fault, self._ended.text)

    @property
    def was_refused(self) -> bool:
        """True where the router closed the connection before it answered anything."""
        return self._ended is not None and self._ended.fault is faults.CLOSED_AT_ONCE

    def doom(self, fault: Fault, text: str) -> None:
        """Give the connection up, as when it is mute."""
        self._end(Lost(fault, text))
        self._doomed.set()

    async def run(self) -> None:
        """Serve the connection until it breaks. Raises Lost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_loop)
            nursery.start_soon(self._write_loop)
            nursery.start_soon(self._sweep_loop)
            await self._doomed.wait()
            raise self._ended or Lost(faults.CONNECTION_LOST)

    def close(self) -> None:
        """Close the socket and fail what still waits."""
        self._end(Lost(faults.CONNECTION_LOST, f"the connection to {self.place} was closed"))
        self._wire.close()

    async def _read_loop(self) -> None:
        try:
            while data := await self._wire.receive():
                self.last_received = trio.current_time()
                for frame in self._frames.feed(data):
                    self._take(frame)
        except ProtocolError as error:
            raise self._end(Lost(faults.BAD_FRAME, f"{self.place}: {error}")) from error
        except OSError as error:
            text = f"{self.place}: {error.strerror or error}"
            raise self._end(Lost(faults.CONNECTION_LOST, text)) from error
        silent = self.last_received == float("-inf")
        fault = faults.CLOSED_AT_ONCE if silent else faults.CONNECTION_LOST
        raise self._end(Lost(fault, f"{self.place} closed the connection"))

    def _take(self, frame: Frame) -> None:
        if frame.command == Command.NOTIFICATION:
            self.notes.take(frame)
        elif not frame.flags & RESPONSE_BIT:
            self.strange_frames += 1
        elif (pending := self._pending.pop(frame.invoke_id, None)) is None:
            self.late_answers += 1
        else:
            pending.answer(frame.error, frame.data)

    async def _write_loop(self) -> None:
        try:
            while True:
                await self._wire.wait_output()
                if self._batches:
                    batches, self._batches = self._batches, []
                    for flush in batches:
                        flush()
                await self._wire.flush()
        except OSError as error:
            text = f"{self.place}: {error.strerror or error}"
            raise self._end(Lost(faults.CONNECTION_LOST, text)) from error

    async def _sweep_loop(self) -> None:
        """Fail what has no answer in time.

        What had come by the deadline may hold the answer, where this process was too busy to read
        it: it is read first.
        """
        to_read: dict[int, int] = {}
        while True:
            await trio.sleep(self._sweep)
            now = trio.current_time()
            late = [key for key, pending in self._pending.items() if pending.deadline <= now]
            before, to_read = to_read, {}
            unread = self._wire.unread() if late else 0
            for key in late:
                position = before.get(key, self._wire.received + unread)
                if self._wire.received < position:
                    to_read[key] = position
                    continue
                self._pending.pop(key).fail(
                    faults.TIMEOUT, f"{self.place} did not answer a request in time"
                )

    def _end(self, error: Lost) -> Lost:
        """Fail what waits, once; later requests fail at once with the same fault."""
        if self._ended is None:
            self._ended = error
        waiting, self._pending = self._pending, {}
        for pending in waiting.values():
            pending.fail(self._ended.fault, self._ended.text)
        for flush in self._batches:
            flush()
        self._batches.clear()
        return error

    def _delete_note(self, source: bytes, own: bytes, handle: int) -> None:
        """Tell a target to stop a notification that nobody here knows."""
        if self._ended is None:
            data = handle.to_bytes(4, "little")
            patience = Nobody(trio.current_time() + 2.0)
            self.post(source, own, Command.DELETE_NOTIFICATION, data, patience)


@asynccontextmanager
async def open_link(
    host: str, port: int, *, connect_timeout: float, source_net_id: str | None = None
) -> AsyncIterator[AmsLink]:
    """Connect to a router and serve the link while the body runs. Raises Lost when it breaks."""
    wire = await dial(host, port, connect_timeout)
    net_id = parse_net_id(source_net_id or default_net_id(wire.local))
    async with served(AmsLink(wire, f"{host}:{port}", net_id)) as link:
        yield link


@asynccontextmanager
async def served(link: AmsLink) -> AsyncIterator[AmsLink]:
    """Serve ``link`` while the body runs, and close it. Raises Lost when it breaks."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            yield link
            nursery.cancel_scope.cancel()
    finally:
        link.close()


def default_net_id(address: str) -> str:
    """Return ``<ip>.1.1``, TwinCAT's default NetId; an IPv6 address gets the loopback's."""
    last = address.rsplit(":", 1)[-1]
    return f"{last if last.count('.') == 3 else '127.0.0.1'}.1.1"
