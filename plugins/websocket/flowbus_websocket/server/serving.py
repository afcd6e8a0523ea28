"""The clients of a server: the life of each, and what is looked after for all of them."""

from __future__ import annotations

import logging
import math
from typing import Any, Final

import trio

from flowbus import Lost, Message, NodeIO
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.protocol.codes import GOING_AWAY
from flowbus_websocket.protocol.encoder import PING
from flowbus_websocket.server.client import Client, shown
from flowbus_websocket.server.idle import IdleClock
from flowbus_websocket.server.reception import Reception
from flowbus_websocket.server.rules import Rules
from flowbus_websocket.server.sockets import remote_of

log: Final = logging.getLogger(__name__)
VERBOSE: Final = 15  # the level that flowbus shows with --log-level verbose

RESOLUTION: Final = 1.0  # seconds; how exactly the times of the clients are kept
MOST_SHOWN: Final = 1000  # clients in the status

#: With more clients than these a server that stops does not wait for their answers to its Close
#: frames: a runtime that stops has a few seconds, and each answer takes some of it.
MANY: Final = 500
SLICE: Final = 30  # clients that are closed together
ROUNDS: Final = 8  # of the scheduler that closing one takes
GRACE: Final = 1.0  # seconds beyond close_timeout for all clients together to be gone
STOPS: Final = "the server stops"

#: Ways to leave that are nobody's mistake.
_QUIET: Final = frozenset(closed_with(code).code for code in (1000, 1001, 1005, 1006)) | {
    named("connection_lost").code,
    named("idle_timed_out").code,
}


class Server:
    """The clients of one node, by their ids."""

    def __init__(self, io: NodeIO, rules: Rules, reception: Reception) -> None:
        self.clients: dict[str, Client] = {}
        self._io = io
        self._reception = reception
        self._rules = rules
        self._stopping = trio.Event()
        self._telling: set[trio.CancelScope] = set()
        self._idle = IdleClock(rules.idle_timeout)

    async def hold(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Give the nursery for :meth:`serve`; after :meth:`stop` return once all clients are gone.

        Cancelling thousands of tasks, each with a farewell behind its back, takes seconds. So their
        tasks are shielded, and end by themselves.
        """
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                task_status.started(nursery)
                await self._stopping.wait()
                await self._say_goodbye()
                limit = self._rules.limits.close_timeout + GRACE
                nursery.cancel_scope.deadline = trio.current_time() + limit

    def stop(self) -> None:
        """Close all connections with 1001."""
        self._stopping.set()

    async def _say_goodbye(self) -> None:
        for scope in self._telling:
            scope.cancel()
        self._reception.handshakes.end_all()
        ended = ConnectionEnded(closed_with(GOING_AWAY), STOPS, GOING_AWAY, STOPS)
        clients = list(self.clients.values())
        wait = len(clients) <= MANY
        for number, client in enumerate(clients, 1):
            client.dismiss(ended, wait=wait)
            if number % SLICE == 0:
                # All at once leave so much behind that the garbage collector takes half of the time.
                for _ in range(ROUNDS):
                    await trio.lowlevel.checkpoint()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one client to its end; what it does wrong is a fault, never an exception."""
        remote = remote_of(stream)
        try:
            client = await self._reception.admit(stream)
        except Lost as error:
            if not self._stopping.is_set():
                self._io.fault(error.fault, f"{remote}: {error.text}")
            return
        self._log("%s has come from %s for %s", client.name, remote, client.caller.request.path)
        try:
            ended = await self._attend(client)
            text = f"{client.name} has left: {ended.text}"
            self._log("%s", text)
            client.channel.reject_posted(named("connection_lost"), text)
            if ended.fault.code not in _QUIET:
                self._io.fault(ended.fault, f"{remote}: {ended.text}")
            event = client.event("disconnected", code=ended.code, reason=ended.reason)
            await self._tell([event], "connection")
        finally:
            self._reception.leave()

    def _log(self, text: str, *arguments: str) -> None:
        name = self._io.name
        log.log(VERBOSE, f"%s: {text}", name, *arguments, extra={"node": name})

    async def _tell(self, messages: list[Message], outlet: str) -> None:
        """Send what is to be told of a client that comes or has left; a stop cuts that short."""
        if self._stopping.is_set():
            return
        with trio.CancelScope() as scope:
            self._telling.add(scope)
            try:
                await self._io.send_many(messages, outlet)
            finally:
                self._telling.discard(scope)

    async def _attend(self, client: Client) -> ConnectionEnded:
        ended: ConnectionEnded | None = None
        self.clients[client.name] = client
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.attend)
            try:
                ended = await self._receive(client)
                client.set_line_mode(on=False)
                if messages := client.take_left_over():
                    await self._tell(messages, "out")
            finally:
                client.leaving = True
                del self.clients[client.name]
                await client.part(*_farewell(client.dismissed))
                client.gone.set()
        return ended

    async def _receive(self, client: Client) -> ConnectionEnded:
        send_many, receive = self._io.send_many, client.channel.receive
        # Whatever happens to the client meanwhile: who leaves has come.
        await self._tell([client.event("connected")], "connection")
        try:
            with client.presence:
                while True:
                    items = await receive()
                    if client.channel.noted:
                        await self._tell_pings(client)
                    # All at once: what has been received is the flow's even if the client leaves now.
                    await send_many(client.messages(items))
        except ConnectionEnded as ended:
            return ended
        assert client.dismissed is not None
        return client.dismissed

    async def _tell_pings(self, client: Client) -> None:
        noted, client.channel.noted = client.channel.noted, []
        for kind, payload in noted:
            event = client.event("ping" if kind == PING else "pong", payload=shown(payload))
            await self._io.send(event, "connection")

    async def look_after(self) -> None:
        """See to the keep-alive of all clients, and to those who are idle, for ever."""
        if not (self._rules.limits.keepalive_interval or self._rules.idle_timeout):
            return
        while True:
            soonest = trio.current_time() + RESOLUTION
            due = [self._look_at(client) for client in list(self.clients.values())]
            # Whoever is about to go needs nothing more; those who come need it before that is long.
            next_due = min(due, default=math.inf)
            await trio.sleep_until(soonest if next_due == math.inf else max(soonest, next_due))

    def _look_at(self, client: Client) -> float:
        return min(client.channel.check_alive(), self._idle.check(client))

    def as_dict(self) -> dict[str, Any]:
        """Return what ``flowbus status --json`` shows."""
        clients = list(self.clients.values())
        refused, rules = self._reception.refused, self._rules
        timeouts = {"send": rules.send_timeout, "idle": rules.idle_timeout}
        return {
            "clients": len(clients),
            "handshakes": len(self._reception.handshakes),
            "refused": refused.total(),
            "refused_by": dict(refused),
            "connections": [
                {**client.as_dict(), "timeouts": timeouts} for client in clients[:MOST_SHOWN]
            ],
        }


def _farewell(dismissed: ConnectionEnded | None) -> tuple[int, str]:
    if dismissed is not None:
        return dismissed.code, dismissed.reason
    return GOING_AWAY, STOPS
