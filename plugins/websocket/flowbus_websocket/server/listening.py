"""The door of a server: open it, close it, and take in who comes."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import trio

from flowbus import Fault
from flowbus_websocket.faults import named
from flowbus_websocket.server.sockets import Place, Tuning, open_listeners, port_of

PAUSE: Final = 0.1  # seconds before accepting again when there are no sockets left

_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

OnStream = Callable[[trio.SocketStream], Awaitable[None]]
OnFault = Callable[[Fault, str], None]


class Listening:
    """Starts ``serve(stream)`` in ``nursery`` for every client, while it is open.

    A port that was chosen freely is kept when it is opened again.
    """

    def __init__(
        self,
        place: Place,
        tuning: Tuning,
        serve: OnStream,
        *,
        on_fault: OnFault,
        on_change: Callable[[], None],
        nursery: trio.Nursery,
    ) -> None:
        self._place = place
        self._tuning = tuning
        self._serve = serve
        self._on_fault = on_fault
        self._on_change = on_change
        self._nursery = nursery
        self._listeners: list[trio.SocketListener] = []
        self._accepting = trio.CancelScope()

    @property
    def open(self) -> bool:
        """True while clients can connect."""
        return bool(self._listeners)

    @property
    def port(self) -> int:
        """The port, also where it was chosen freely; 0 before that."""
        return self._place.port

    async def start(self) -> None:
        """Open; nothing where it is open. Lost with the fault of what failed."""
        if self._listeners:
            return
        self._listeners = await open_listeners(self._place, self._tuning)
        self._place = msgspec.structs.replace(self._place, port=port_of(self._listeners))
        self._accepting = trio.CancelScope()
        self._nursery.start_soon(self._accept_all, self._listeners, self._accepting)
        self._on_change()

    async def stop(self) -> None:
        """Close; who has connected stays."""
        await self.close()
        self._on_change()

    def as_dict(self) -> dict[str, Any]:
        """Return what ``flowbus status --json`` shows."""
        return {"listening": self.open, "port": self.port}

    async def close(self) -> None:
        """Close, and tell nobody."""
        self._accepting.cancel()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await trio.aclose_forcefully(listener)

    async def _accept_all(
        self, listeners: list[trio.SocketListener], accepting: trio.CancelScope
    ) -> None:
        with accepting:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(self._accept_from, listener)

    async def _accept_from(self, listener: trio.SocketListener) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._on_fault(named("no_more_sockets"), f"a client has to wait: {error.strerror}")
                # Those who wait stay in the backlog; trying at once would only spin.
                await trio.sleep(PAUSE)
                continue
            # A client that is gone already cannot be tuned; serving it finds that out.
            with contextlib.suppress(OSError):
                self._tuning.tune(stream.socket)
            self._nursery.start_soon(self._serve, stream)
