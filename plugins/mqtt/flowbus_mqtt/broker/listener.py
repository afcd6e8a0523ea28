"""The broker's connections, driven by trio: a reader and a writer for each client."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import trio

from flowbus import Fault, Secret
from flowbus_mqtt import faults
from flowbus_mqtt.broker.peer import Door, LeftError, Peer, RefusedError
from flowbus_mqtt.broker.routing import Routing
from flowbus_mqtt.protocol.decoder import Decoder
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.packets import Publish, Version

_CHUNK: Final = 64 * 1024
_CONNECT_TIMEOUT: Final = 10.0
"""Seconds in which CONNECT has to come."""

_PATIENCE: Final = 1.0
"""Seconds that a refusal may take to reach its client."""


class Forward(Protocol):
    """Where messages of clients leave the broker."""

    def wants(self, publish: Publish) -> bool:
        """Tell whether it takes a message."""

    async def send(self, publish: Publish) -> None:
        """Take it; may wait."""


class StreamLink:
    """The connection of one client; what is sent gathers until the writer takes it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.scope = trio.CancelScope()
        self._pieces: list[bytes] = []
        self._size = 0
        self._in_write = 0
        self._output = trio.lowlevel.ParkingLot()

    @property
    def backlog(self) -> int:
        """Bytes sent and not yet taken by the operating system."""
        return self._size + self._in_write

    def send(self, data: bytes) -> None:
        """Send soon."""
        self._pieces.append(data)
        self._size += len(data)
        if len(self._pieces) == 1:
            self._output.unpark()

    def close(self) -> None:
        """Drop the connection."""
        self.scope.cancel()

    async def write_next(self) -> None:
        """Write all that has gathered, once there is something."""
        if not self._pieces:
            await self._output.park()
        data = b"".join(self._pieces)
        self._pieces = []
        self._in_write, self._size = self._size, 0
        await self.stream.send_all(data)
        self._in_write = 0


class Listener:
    """Serves the clients of one broker."""

    def __init__(
        self, routing: Routing, users: Mapping[str, Secret] | None, max_clients: int, max_packet: int
    ) -> None:
        self.fault: Callable[[Fault, str], None] = lambda fault, text: None
        self.forward: Forward | None = None
        self._routing = routing
        self._max_clients = max_clients
        self._max_packet = max_packet
        self._peers: set[Peer] = set()
        self._numbers = itertools.count(1)
        self._door = Door(users, self._is_full, self._new_id)

    async def serve(self, listener: trio.SocketListener) -> None:
        """Accept and serve clients until cancelled."""
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._client, [listener], handler_nursery=nursery)

    def _is_full(self, client_id: str) -> bool:
        others = sum(peer.session is not None and peer.name != client_id for peer in self._peers)
        return others >= self._max_clients

    def _new_id(self) -> str:
        return f"flowbus-auto-{next(self._numbers)}"

    async def _client(self, stream: trio.SocketStream) -> None:
        if len(self._peers) >= 2 * self._max_clients + 16:  # most of them have not said CONNECT
            await trio.aclose_forcefully(stream)
            return
        link = StreamLink(stream)
        peer = Peer(link, self._routing, self._door)
        self._peers.add(peer)
        try:
            with link.scope:
                await self._talk(peer, link)
        finally:
            self._peers.discard(peer)
            peer.end()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _talk(self, peer: Peer, link: StreamLink) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, peer, link)
            try:
                await self._read(peer, link)
            except ProtocolError as error:
                self.fault(faults.BAD_CLIENT, f"{_where(link, peer)}: {error.text}")
            except RefusedError as refused:
                self.fault(faults.CLIENT_REFUSED, f"{_where(link, peer)}: {refused}")
                with trio.move_on_after(_PATIENCE):
                    await link.stream.send_all(refused.answer)
            except (LeftError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # it went with a word or without; its will tells the others
            nursery.cancel_scope.cancel()

    async def _write(self, peer: Peer, link: StreamLink) -> None:
        try:
            while True:
                await link.write_next()
                if peer.session is not None:
                    peer.session.pump()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            link.close()

    async def _read(self, peer: Peer, link: StreamLink) -> None:
        decoder = Decoder(Version.V311, self._max_packet)
        with trio.CancelScope(deadline=trio.current_time() + _CONNECT_TIMEOUT) as silence:
            while data := await link.stream.receive_some(_CHUNK):
                for event in decoder.feed(bytes(data)):
                    publish = peer.handle(event)
                    if publish is not None:
                        if self.forward is not None and self.forward.wants(publish):
                            silence.deadline = float("inf")
                            await self.forward.send(publish)
                        peer.accepted(publish)
                if peer.session is not None:
                    keepalive = 1.5 * peer.keepalive or float("inf")
                    silence.deadline = trio.current_time() + keepalive
        if silence.cancelled_caught:
            self.fault(faults.CLIENT_SILENT, f"{_where(link, peer)} sent nothing in time")


def _where(link: StreamLink, peer: Peer) -> str:
    try:
        host, port = link.stream.socket.getpeername()[:2]
    except OSError:
        return f"client {peer.name!r}"
    return f"client {peer.name!r} at {host}:{port}" if peer.name else f"{host}:{port}"
