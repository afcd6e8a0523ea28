"""What goes to one client while a file is being sent to it: the file, and all that has to wait."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from flowbus import Fault, Message, Rejected
from flowbus_websocket.channel import Channel
from flowbus_websocket.ended import ConnectionEnded
from flowbus_websocket.faults import closed_with, named
from flowbus_websocket.outbox import Posted
from flowbus_websocket.outgoing import Outgoing
from flowbus_websocket.protocol.codes import INTERNAL_ERROR
from flowbus_websocket.server.client import Client
from flowbus_websocket.server.files import Folder, OpenFile

PIECE: Final = 1 << 16  # bytes read at a time, at most; twice as many are held for each client
MOST_FILES: Final = 16  # that may wait for one client

FILE: Final = "file"  # the header that names a file to send

Post = Callable[[Channel, Outgoing, Posted], None]


class _Part:
    """A fragment whose end says nothing: that of the last one does."""

    def confirm(self) -> None:
        """It has gone."""

    def reject(self, reason: Fault, text: str) -> None:
        """The connection has ended, which is found out before the next one."""


_PART: Final = _Part()


class FileJob(msgspec.Struct, frozen=True):
    """A file to send: its name below the folder, and how. ``posted`` is told how that ended."""

    name: str
    text: bool
    compress: bool | None
    posted: Posted


def job_of(message: Message) -> FileJob:
    """Return what a message with ``headers.file`` wants sent; Rejected where it says it wrongly."""
    headers = message.headers
    name, kind, compress = headers[FILE], headers.get("content_type"), headers.get("compress")
    if not isinstance(name, str):
        raise Rejected(named("file_refused"), f"headers.file is {name!r}, no path of a file")
    if kind not in (None, "binary", "text"):
        raise Rejected(named("bad_payload"), f"a file goes as binary or text, not as {kind!r}")
    if compress is not None and not isinstance(compress, bool):
        raise Rejected(named("bad_payload"), f"headers.compress is {compress!r}, not true or false")
    return FileJob(name, kind == "text", compress, _PART)


class Backlog:
    """Sends files to one client, one after the other, and in their order the messages between them.

    A message cannot be sent between the fragments of another one (RFC 6455, section 5.4), so those
    that come meanwhile wait here; ``size`` is how many bytes they are.
    """

    def __init__(self, client: Client, folder: Folder, post: Post) -> None:
        self.size = 0
        self.files = 0
        self.ended = trio.Event()
        self._client = client
        self._folder = folder
        self._post = post
        self._items: deque[FileJob | tuple[Outgoing, Posted]] = deque()
        self._sending: trio.CancelScope | None = None

    def add(self, item: FileJob | tuple[Outgoing, Posted]) -> None:
        """Put a file, or a message, behind all others."""
        self._items.append(item)
        if isinstance(item, FileJob):
            self.files += 1
        else:
            self.size += item[0].size

    def interrupt(self) -> None:
        """End the file that is being sent: the client gets a message that ends where it is."""
        if self._sending is not None:
            self._sending.cancel()

    async def run(self) -> None:
        """Send everything, until there is nothing left."""
        while self._items:
            item = self._items.popleft()
            if isinstance(item, FileJob):
                await self._send(item)
                self.files -= 1
                continue
            outgoing, posted = item
            self.size -= outgoing.size
            if self._is_there():
                self._post(self._client.channel, outgoing, posted)
            else:
                self._reject_lost(posted)
        self.ended.set()

    async def _send(self, job: FileJob) -> None:
        if not self._is_there():
            self._reject_lost(job.posted)
            return
        if self._client.channel.encoder.in_message:
            text = "a message in fragments is being sent, and its last one is to come"
            job.posted.reject(named("out_of_order"), text)
            return
        try:
            with trio.CancelScope() as self._sending:
                await self._send_file(job)
        except Rejected as refusal:
            self._break_off(refusal)
            job.posted.reject(refusal.fault, refusal.text)
        finally:
            scope, self._sending = self._sending, None
        if scope is not None and scope.cancelled_caught:
            self._end_early(job)

    async def _send_file(self, job: FileJob) -> None:
        file = await self._folder.open(job.name)
        try:
            await self._send_pieces(file, job)
        finally:
            file.close()

    async def _send_pieces(self, file: OpenFile, job: FileJob) -> None:
        channel = self._client.channel
        size = min(PIECE, channel.encoder.max_frame)
        decode = codecs.getincrementaldecoder("utf-8")().decode if job.text else None
        data, final = await file.read(size), False
        while not final:
            more = await file.read(size)
            final = not more
            await channel.wait_posted(PIECE)
            if not self._is_there():
                self._reject_lost(job.posted)
                return
            piece = data if decode is None else _decoded(decode, data, final)
            frames = channel.encoder.fragment(piece, final=final, compress=job.compress)
            channel.post(frames, job.posted if final else _PART)
            data = more

    def _end_early(self, job: FileJob) -> None:
        encoder = self._client.channel.encoder
        if encoder.in_message and self._is_there():
            empty = "" if job.text else b""
            self._client.channel.post(encoder.fragment(empty, final=True), _PART)
        job.posted.reject(named("interrupted"), f"sending {job.name} was interrupted")

    def _break_off(self, refusal: Rejected) -> None:
        """Take down a connection with half a message: its client must not take it for a whole one."""
        if self._client.channel.encoder.in_message and self._is_there():
            fault, reason = closed_with(INTERNAL_ERROR), "a file broke off"
            self._client.dismiss(
                ConnectionEnded(fault, refusal.text, INTERNAL_ERROR, reason), wait=False
            )

    def _is_there(self) -> bool:
        return self._client.dismissed is None and not self._client.leaving

    def _reject_lost(self, posted: Posted) -> None:
        posted.reject(named("connection_lost"), f"{self._client.name} has left")


def _decoded(decode: Callable[[bytes, bool], str], data: bytes, final: bool) -> str:
    try:
        return decode(data, final)
    except UnicodeDecodeError as error:
        text = f'the file is no UTF-8 text ({error.reason}); send it as "binary"'
        raise Rejected(named("bad_payload"), text) from None
