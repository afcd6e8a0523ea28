"""Connections: a peer that several nodes share, opened once, supervised once, with its own status."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from flowbus.config import Config
from flowbus.counters import Counters
from flowbus.errors import ConfigError, Lost
from flowbus.faults import Fault
from flowbus.node import config_annotation, first_line
from flowbus.outlets import FaultLog
from flowbus.status import State, StatusCell
from flowbus.supervisor import ConnectionDown, in_own_task

Opener = Callable[..., Any]


class ConnectionType:
    """A kind of connection that a flow file can name.

    ``link_key`` names what may exist only once a process (one TCP connection per PLC host);
    ``link`` opens it, and :meth:`ConnectionIO.link` gives it to the connections that share it.
    """

    def __init__(
        self,
        name: str,
        opener: Opener,
        link: Opener | None = None,
        link_key: Callable[[Any], Hashable] | None = None,
    ) -> None:
        if (link is None) != (link_key is None):
            raise TypeError(f"connection {name!r}: link and link_key belong together")
        self.name = name
        self.plugin = ""
        self.config_type = config_annotation(opener, name)
        self.open = _context_manager(opener, name)
        self.open_link = None if link is None else _context_manager(link, name)
        self.link_key = link_key
        self._opener = opener

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return first_line(self._opener) or first_line(self.config_type)

    def __repr__(self) -> str:
        return f"<connection type {self.name}>"


def connection(
    name: str, *, link: Opener | None = None, link_key: Callable[[Any], Hashable] | None = None
) -> Callable[[Opener], ConnectionType]:
    """Declare an async generator ``(config, io)`` that yields the handle once, as a connection type.

    An async context manager, and one that takes only ``config``, will do as well. It raises when
    the peer is lost.
    """

    def declare(opener: Opener) -> ConnectionType:
        return ConnectionType(name, opener, link, link_key)

    return declare


def _context_manager(opener: Opener, name: str) -> Callable[..., AbstractAsyncContextManager[Any]]:
    takes_io = len(inspect.signature(opener).parameters) > 1
    if inspect.isasyncgenfunction(opener):
        opener = contextlib.asynccontextmanager(opener)
    elif inspect.iscoroutinefunction(opener):
        raise TypeError(f"connection {name!r}: {opener!r} has to yield its handle")
    return opener if takes_io else lambda config, _io: opener(config)


class Handle:
    """The place where a running connection leaves its handle, and where nodes wait for it."""

    def __init__(self, cell: StatusCell, prefix: str) -> None:
        self.cell = cell
        self._prefix = prefix
        self._value: Any = None
        self._up = trio.Event()
        self._users: set[trio.CancelScope] = set()

    @property
    def is_up(self) -> bool:
        """True while the handle can be used."""
        return self._up.is_set()

    async def wait(self) -> Any:
        """Return the handle once the connection is up; it is up when this returns."""
        await self._up.wait()
        while not self._up.is_set():  # it went down again before this task had its turn
            await self._up.wait()
        return self._value

    def use(self, scope: trio.CancelScope) -> None:
        """Have ``scope`` cancelled when the connection goes down."""
        self._users.add(scope)

    def uses(self, scope: trio.CancelScope) -> bool:
        """Tell whether ``scope`` works with the handle that is up now."""
        return scope in self._users

    def leave(self, scope: trio.CancelScope) -> None:
        """Undo :meth:`use`."""
        self._users.discard(scope)

    def go_up(self, value: Any) -> None:
        """Give out ``value`` from now on."""
        self._value = value
        self._up.set()

    def go_down(self) -> None:
        """Take the handle back and cancel whoever works with it."""
        self._value = None
        if self._up.is_set():
            self._up = trio.Event()
        users, self._users = self._users, set()
        for scope in users:
            scope.cancel()

    def down(self) -> ConnectionDown:
        """Return the exception for a user of it; without a code while the reason is not known yet."""
        status = self.cell.value
        known = status.state in (State.WAITING, State.FAILED)
        return ConnectionDown(status.code if known else "", f"{self._prefix}{status.text}")


class ConnectionIO:
    """What a running connection may do beside its protocol."""

    def __init__(self, name: str, cell: StatusCell, faults: FaultLog, link: Handle | None) -> None:
        self.name = name
        self._cell = cell
        self._faults = faults
        self._link = link
        self.scope = trio.CancelScope()
        self.shown_details: Callable[[], Mapping[str, Any]] = dict

    def connected(self, text: str = "") -> None:
        """Say that the connection does its job."""
        self._cell.set(State.RUNNING, text=text)

    def degraded(self, fault: Fault | str, text: str) -> None:
        """Say that it works but something is wrong; :meth:`connected` takes that back."""
        self._cell.set(State.DEGRADED, fault if isinstance(fault, str) else fault.code, text)

    def fault(self, fault: Fault | str, text: str) -> None:
        """Count something that went wrong without ending the connection; logged once a minute."""
        why = Lost(fault, text)
        self._faults.note(why.fault, why.text)

    def details(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        """Have ``snapshot()`` shown by ``flowbus status --json``."""
        self.shown_details = snapshot

    async def link(self) -> Any:
        """Wait for the link that this connection shares with others of the same ``link_key``."""
        if self._link is None:
            raise ConfigError(f"the type of connection {self.name} declares no link")
        value = await follow_until_up(self._link, self._cell)
        self._link.use(self.scope)
        return value


class Connection:
    """A connection, or a link, of a flow: what the supervisor runs."""

    def __init__(
        self,
        name: str,
        opener: Callable[..., AbstractAsyncContextManager[Any]],
        decode: Callable[[], Config],
        cell: StatusCell,
        faults: FaultLog,
        counters: Counters,
        link: Handle | None = None,
        is_link: bool = False,
    ) -> None:
        self.name = name
        self.cell = cell
        self.counters = counters
        # A connection says the words of its link as its own.
        self.handle = Handle(cell, "" if is_link else f"connection {name}: ")
        self.link = link
        self.io: ConnectionIO | None = None
        self._opener = opener
        self._decode = decode
        self._faults = faults

    async def run_once(self) -> None:
        """Open it, give out the handle until the peer is lost or this is cancelled, close it."""
        config = self._decode()
        self.io = io = ConnectionIO(self.name, self.cell, self._faults, self.link)
        with io.scope:
            try:
                await in_own_task(self._hold, config, io)
            finally:
                if self.link is not None:
                    self.link.leave(io.scope)
        if io.scope.cancelled_caught and self.link is not None:
            raise self.link.down()

    async def _hold(self, config: Config, io: ConnectionIO) -> None:
        async with self._opener(config, io) as value:
            if self.cell.value.state not in (State.RUNNING, State.DEGRADED):
                io.connected()
            self.handle.go_up(value)
            try:
                await trio.sleep_forever()
            finally:
                # Before the context manager closes the peer: nodes let go of it first.
                self.handle.go_down()


async def follow_until_up(handle: Handle, cell: StatusCell) -> Any:
    """Wait for ``handle``; meanwhile ``cell`` says what the connection says."""
    if not handle.is_up:
        await _follow(handle, cell)
    return await handle.wait()


async def _follow(handle: Handle, cell: StatusCell) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_mirror, handle, cell)
        await handle.wait()
        nursery.cancel_scope.cancel()


async def _mirror(handle: Handle, cell: StatusCell) -> None:
    while True:
        down = handle.down()
        if down.code:
            cell.set(State.WAITING, down.code, down.text)
        await handle.cell.wait_change()
