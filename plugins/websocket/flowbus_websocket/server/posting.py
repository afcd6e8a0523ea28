"""From the flow to the clients: who is addressed, and what became of the message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import trio
from msgspec import structs

from flowbus import Delivery, Fault, Message, NodeIO, Rejected
from flowbus_websocket.channel import Channel
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.outbox import Posted
from flowbus_websocket.outgoing import Outgoing
from flowbus_websocket.protocol.codes import POLICY
from flowbus_websocket.server.backlog import FILE, MOST_FILES, Backlog, FileJob, job_of
from flowbus_websocket.server.client import Client
from flowbus_websocket.server.files import Folder
from flowbus_websocket.server.rules import Rules

Wait = Callable[[], Awaitable[None]]


class Posting:
    """Queues messages for the clients that they are addressed to; files are sent in ``nursery``."""

    def __init__(
        self,
        io: NodeIO,
        rules: Rules,
        clients: Mapping[str, Client],
        folder: Folder,
        nursery: trio.Nursery,
    ) -> None:
        self._io = io
        self._rules = rules
        self._clients = clients
        self._folder = folder
        self._nursery = nursery

    def post(self, delivery: Delivery) -> Wait | None:
        """Queue one message for the clients that it is addressed to; they, or this, end it.

        What is returned, if something is, has to be awaited before the next message is posted: it
        waits for room, and queues it for those who had none.
        """
        message = delivery.message
        try:
            clients = self.addressed(message)
            job = job_of(message) if FILE in message.headers else None
            outgoing = Outgoing(message) if job is None else None
        except Rejected as refusal:
            delivery.reject(refusal.fault, refusal.text)
            return None
        if not clients:
            delivery.drop()
            return None
        posted: Posted = delivery if len(clients) == 1 else Shared(delivery, len(clients))
        if job is not None:
            for client in clients:
                self._add_file(client, job, posted)
        if outgoing is None:
            return None
        waiting = [client for client in clients if not self._put(client, outgoing, posted)]
        return partial(self._post_late, waiting, outgoing, posted) if waiting else None

    async def _post_late(
        self, clients: Sequence[Client], outgoing: Outgoing, posted: Posted
    ) -> None:
        for client in clients:
            await self._wait_for_room(client, max(self._rules.send_queue - outgoing.size, 0))
            self._hand_over(client, outgoing, posted)

    async def _wait_for_room(self, client: Client, most: int) -> None:
        while client.queued > most and not client.leaving:
            if client.backlog is not None:
                await client.backlog.ended.wait()
            await client.channel.wait_posted(most)

    def _add_file(self, client: Client, job: FileJob, posted: Posted) -> None:
        backlog = client.backlog
        if backlog is not None and backlog.files >= MOST_FILES:
            text = f"{client.name} ({client.remote}) has {backlog.files} files to take yet"
            posted.reject(named("send_queue_full"), text)
            return
        if backlog is None:
            backlog = client.backlog = Backlog(client, self._folder, self._post)
            self._nursery.start_soon(self._send_backlog, client, backlog)
        backlog.add(structs.replace(job, posted=posted))

    async def _send_backlog(self, client: Client, backlog: Backlog) -> None:
        await backlog.run()
        client.backlog = None

    def addressed(self, message: Message) -> Sequence[Client]:
        """Return the clients that ``headers.connection`` names, all without it; else Rejected."""
        address = message.headers.get("connection")
        if address is None:
            return list(self._clients.values())
        names = [address] if isinstance(address, str) else address
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            text = f"headers.connection is {address!r}, neither an id nor a list of ids"
            raise Rejected(named("unknown_connection"), text)
        names = list(dict.fromkeys(names))
        unknown = [name for name in names if name not in self._clients]
        if unknown:
            raise Rejected(named("unknown_connection"), f"not connected: {', '.join(unknown)}")
        return [self._clients[name] for name in names]

    def _put(self, client: Client, outgoing: Outgoing, posted: Posted) -> bool:
        """Queue it, or end it; False where it has to wait, after all others have got theirs."""
        channel, rules, queued = client.channel, self._rules, client.queued
        if not queued or queued + outgoing.size <= rules.send_queue:
            self._hand_over(client, outgoing, posted)
            return True
        if rules.slow_client == "wait":
            return False
        text = f"{client.name} ({client.remote}) has {queued} bytes to take yet"
        posted.reject(named("send_queue_full"), text)
        if isinstance(posted, Shared):  # the others may have it, and then nobody is told
            self._io.fault(named("send_queue_full"), text)
        if rules.slow_client == "close" or outgoing.is_part(channel.encoder):
            # A message with a hole must not go on either.
            channel.reject_posted(named("send_queue_full"), text)
            client.dismiss(ConnectionEnded(closed_with(POLICY), text, POLICY, "too slow"))
        return True

    def _hand_over(self, client: Client, outgoing: Outgoing, posted: Posted) -> None:
        if client.name in self._clients and client.dismissed is None:
            if client.backlog is not None:
                client.backlog.add((outgoing, posted))
            else:
                self._post(client.channel, outgoing, posted)
        else:
            posted.reject(named("connection_lost"), f"{client.name} has left")

    def _post(self, channel: Channel, outgoing: Outgoing, posted: Posted) -> None:
        # Built only now: a connection that compresses sends its frames in the order they are built.
        try:
            frames = outgoing.frames(channel.encoder)
        except Rejected as refusal:
            posted.reject(refusal.fault, refusal.text)
        else:
            channel.post(frames, posted)


class Shared:
    """One message for several clients: confirmed when at least one has it and all others ended."""

    def __init__(self, delivery: Delivery, clients: int) -> None:
        self._delivery = delivery
        self._left = clients
        self._taken = False

    def confirm(self) -> None:
        """One client has it."""
        self._taken = True
        self._end(named("connection_lost"), "")

    def reject(self, reason: Fault, text: str) -> None:
        """One client will not get it."""
        self._end(reason, text)

    def _end(self, fault: Fault, text: str) -> None:
        self._left -= 1
        if self._left:
            return
        if self._taken:
            self._delivery.confirm()
        else:
            self._delivery.reject(fault, text)
