"""An open WebSocket over a stream of trio: the frames of the protocol, and the time limits.

The rules:

- one task receives, any number send; bytes leave in the order of the calls;
- what the protocol wants sent (Pong, keep-alive) never waits in the receiving task, which goes on
  reading: :meth:`Channel.attend` or whoever sends next takes it along;
- a failure seen while sending never takes away what has arrived: the receiver reads on to the end;
- every closing handshake is bounded by ``close_timeout``.
"""

from __future__ import annotations

import contextlib
import math
from typing import Final

import trio

from flowbus import Fault
from flowbus_websocket.ended import ConnectionEnded, ended_by, hung_up, lost
from flowbus_websocket.faults import named
from flowbus_websocket.keepalive import KeepAlive
from flowbus_websocket.linger import BROKEN, drain, send_eof
from flowbus_websocket.outbox import Outbox, Posted
from flowbus_websocket.pings import Pings
from flowbus_websocket.protocol.assembly import Item
from flowbus_websocket.protocol.decoder import Control, Ended, FrameDecoder
from flowbus_websocket.protocol.encoder import PING, FrameEncoder
from flowbus_websocket.protocol.extensions import Agreed
from flowbus_websocket.reading import reader_of

MAX_PONGS: Final = 256  # that wait to be sent; a peer that does not read them gets no more
GRACE: Final = 1.0  # seconds in which the receiver reads on after sending has failed


class Channel:
    """One side of an open WebSocket; ``rest`` are bytes of frames that came with the handshake.

    Times are in seconds; a keep-alive of 0 means none.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        decoder: FrameDecoder,
        encoder: FrameEncoder,
        *,
        rest: bytes = b"",
        keepalive_interval: float = 0.0,
        keepalive_timeout: float = 0.0,
        close_timeout: float = 5.0,
        deflate: Agreed | None = None,
    ) -> None:
        self.encoder = encoder
        #: How messages are compressed, None for not at all.
        self.deflate = deflate
        #: Whether messages in fragments are received as such.
        self.fragments = decoder.fragments
        #: Whether receive() also returns when a Ping or Pong has come; they are in ``noted`` then.
        self.watching = False
        self.noted: list[Control] = []
        self.close_timeout = close_timeout
        self.pings = Pings()
        self.messages_in = 0
        self.messages_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._stream = stream
        self._decoder = decoder
        self.alive = KeepAlive(keepalive_interval, keepalive_timeout, trio.current_time())
        self._rest = rest
        self._lock = trio.StrictFIFOLock()
        self._urgent: list[bytes] = []
        self._outbox = Outbox()
        self._wake = trio.Event()
        self._reader = reader_of(stream)
        self._paused: trio.Event | None = None
        self._broken: ConnectionEnded | None = None
        self._torn = False  # a frame may have been sent in part
        self._close_sent = False

    # ---- receiving

    async def receive(self) -> list[Item]:
        """Return what has come, at least one message: text as str, binary as bytes.

        While ``watching`` there may be none, and something in ``noted``, which the caller clears.
        ConnectionEnded once the peer has closed, broken the protocol, or is lost; everything that
        came before has been returned then.
        """
        decoder = self._decoder
        while True:
            if decoder.end is not None:
                await self._finish(decoder.end)
            messages = decoder.receive(await self._receive_some())
            if decoder.controls:
                self._answer_controls()
            if messages or self.noted:
                self.messages_in += len(messages)
                return messages

    async def _receive_some(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        data: bytes | None = None
        while data is None:
            if self._paused is not None:
                await self._paused.wait()
                self.alive.heard(trio.current_time())
            if self._decoder.more:
                return b""
            if self._broken is not None:
                raise self._broken
            try:
                data = await self._reader.read()
            except BROKEN as error:
                raise self._broken or lost(error) from error
        if not data:
            raise hung_up()
        self.alive.heard(trio.current_time())
        self.bytes_in += len(data)
        return data

    def pause(self) -> None:
        """Read nothing more until :meth:`resume`; keep-alive is suspended meanwhile."""
        if self._paused is None:
            self._paused = trio.Event()
            self._reader.hold()

    def resume(self) -> None:
        """Read on."""
        if self._paused is not None:
            self._paused.set()
            self._paused = None

    @property
    def paused(self) -> bool:
        """True between :meth:`pause` and :meth:`resume`."""
        return self._paused is not None

    def _answer_controls(self) -> None:
        if self.watching:
            self.noted += self._decoder.controls
        for kind, payload in self._decoder.controls:
            if kind != PING:
                self.alive.ponged()
                self.pings.pong(payload)
            elif len(self._urgent) < MAX_PONGS:
                self._urge(self.encoder.pong(payload))
        self._decoder.controls.clear()

    # ---- sending

    async def send(self, frames: bytes) -> None:
        """Hand ``frames`` of the encoder to the stream; return once it has taken them.

        ConnectionEnded where the connection is gone; they may have been sent in part then.
        """
        async with self._lock:
            await self._send_posted()
            await self._send_all(frames)

    def post(self, frames: bytes, posted: Posted) -> None:
        """Have :meth:`attend` send ``frames`` of one message, and tell ``posted``."""
        self._outbox.add(frames, posted)
        self._wake.set()

    @property
    def posted(self) -> int:
        """Bytes that are posted and not sent yet."""
        return self._outbox.size

    async def wait_posted(self, size: int) -> None:
        """Return once at most ``size`` bytes are posted and not sent."""
        await self._outbox.wait_size(size)

    def reject_posted(self, fault: Fault, text: str) -> None:
        """Tell everybody whose message is not being sent already that it will not be."""
        self._outbox.reject(fault, text)

    async def attend(self) -> None:
        """Send what is posted; runs beside the receiver, which says why it has ended."""
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                async with self._lock:
                    await self._send_posted()
        except ConnectionEnded as ended:
            await self.fail(ended)

    async def fail(self, ended: ConnectionEnded) -> None:
        """Say that sending has failed: the receiver raises ``ended`` unless it soon finds why."""
        await trio.sleep(GRACE)
        self.abort(ended)

    def abort(self, ended: ConnectionEnded) -> None:
        """Let the receiver raise ``ended`` once it has handed on what it has."""
        if self._broken is None:
            self._broken = ended
        self.resume()
        self._reader.wake()

    def ping(self, payload: bytes) -> trio.Event:
        """Have :meth:`attend` send a Ping of at most 125 bytes; the event is set by its answer."""
        self._urge(self.encoder.ping(payload))
        return self.pings.expect(payload)

    def _urge(self, frame: bytes) -> None:
        self._urgent.append(frame)
        self._wake.set()

    async def _send_posted(self) -> None:
        outbox = self._outbox
        while self._urgent or outbox:
            batch = outbox.begin_batch()
            urgent, self._urgent = self._urgent, []
            sent = False
            try:
                await self._send_all(b"".join([*urgent, *batch]))
                sent = True
            finally:
                self.messages_out += outbox.end_batch(sent=sent)

    async def _send_all(self, data: bytes) -> None:
        if self._broken is not None:
            raise self._broken
        if self._close_sent:
            raise ConnectionEnded(named("not_connected"), "the connection is being closed")
        self._torn = True
        try:
            await self._stream.send_all(data)
        except BROKEN as error:
            raise self._broken or lost(error) from error
        self._torn = False
        self.bytes_out += len(data)

    # ---- keep-alive

    def check_alive(self) -> float:
        """Ping a peer that has been silent, give up one that does not answer.

        Returns the time, of trio's clock, at which to call it again.
        """
        reading = self._reader.waiting and self._paused is None
        step = self.alive.step(trio.current_time(), reading=reading)
        if step == "ping":
            self._urge(self.encoder.ping())
        elif step == "lost":
            text = f"no answer to a ping for {self.alive.timeout:g} s"
            self.abort(ConnectionEnded(named("keepalive_timed_out"), text, reason=text))
            return math.inf
        return self.alive.due

    async def keep_alive(self) -> None:
        """Call :meth:`check_alive` whenever it is time, for ever."""
        while True:  # noqa: ASYNC110  it is time that is waited for
            await trio.sleep_until(self.check_alive())

    # ---- the end

    async def close(self, code: int, reason: str = "", *, wait: bool = True) -> None:
        """Close: send what is posted and a Close frame, ``wait`` for the peer's, close the stream.

        Takes ``close_timeout`` at most, cancelled or not. Only the receiving task may call it.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self.close_timeout):
            if self._broken is None and self._decoder.end is None:
                await self._send_last()
                await self._send_close(code, reason)
                if wait and self._close_sent and not self._torn:
                    await self._wait_for_close()
        await self._close_stream()

    async def say_goodbye(self, code: int, reason: str) -> None:
        """Send what is posted and a Close frame; the receiver goes on to the peer's own."""
        await self._send_last()
        await self._send_close(code, reason)

    async def _send_last(self) -> None:
        if not (self.posted or self._urgent or self._lock.locked()):
            return
        with contextlib.suppress(ConnectionEnded):
            async with self._lock:
                if not self._torn:
                    await self._send_posted()

    async def _finish(self, end: Ended) -> None:
        """Answer the end that the decoder has seen, close the stream, and raise why."""
        with trio.move_on_after(self.close_timeout):
            if not end.by_peer:
                await self._send_last()  # the answers to what was in order
            await self._send_close(end.code, "" if end.by_peer else end.reason)
            # The server closes TCP first, so that no port lingers at the client (section 7.1.1);
            # but what a peer at fault goes on sending would tear down our Close frame with it.
            if not end.by_peer and not self.encoder.masked:
                await send_eof(self._stream)
            if self.encoder.masked or not end.by_peer:
                await drain(self._stream)
        await self._close_stream()
        await trio.lowlevel.checkpoint_if_cancelled()
        raise ended_by(end)

    async def _send_close(self, code: int, reason: str) -> None:
        if self._close_sent:
            return
        async with self._lock:
            if self._torn or self._broken is not None:
                return
            self._close_sent = self._torn = True
            try:
                await self._stream.send_all(self.encoder.close(code, reason))
                self._torn = False
            except BROKEN:
                return  # it is gone, which is what closing wants

    async def _wait_for_close(self) -> None:
        """Read on, into nothing, until the peer's Close frame or the end of the stream."""
        while self._decoder.end is None:
            data: bytes | None = b""
            if not self._decoder.more:
                try:
                    data = await self._reader.read()
                except BROKEN:
                    return
                if data == b"":
                    return
            self._decoder.receive(data or b"")
            self._decoder.controls.clear()
        if self.encoder.masked:
            await drain(self._stream)

    async def _close_stream(self) -> None:
        self.abort(ConnectionEnded(named("not_connected"), "the connection is closed"))
        # As trio.aclose_forcefully does, whatever is cancelled around it.
        with trio.CancelScope(shield=True) as at_once:
            at_once.cancel()
            await self._stream.aclose()
