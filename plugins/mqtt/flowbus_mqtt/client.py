"""One MQTT session over one stream, driven by trio: a reader, a writer and a clock.

The rules:

- :func:`open_client` dials and waits for CONNACK under one deadline; :meth:`Client.run` then keeps
  the session until the broker is lost (raises Lost) or it is cancelled (says DISCONNECT);
- the broker is lost when nothing came from it for 1.25 times keepalive; it is asked for a sign of
  life after half of it. While the input is paused by us its silence counts for nothing;
- what was published and has no end when the session ends is reported lost, once, to its publisher.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NoReturn, Protocol

import trio

from flowbus import TLS, Lost
from flowbus_mqtt import faults
from flowbus_mqtt.dial import Address, Stream, broken, dial
from flowbus_mqtt.engine import (
    PINGREQ,
    Connected,
    Dismissed,
    Engine,
    Event,
    Granted,
    Refused,
)
from flowbus_mqtt.outgoing import Outgoing
from flowbus_mqtt.plain import read, write_now
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Puback, Publish
from flowbus_mqtt.settings import Limits, Settings

_CHUNK: Final = 64 * 1024
_FAREWELL: Final = 1.0
"""Seconds that DISCONNECT may take."""

_BLAMES_A_MESSAGE: Final = frozenset((0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B))
"""Reasons of DISCONNECT that refuse one message (MQTT 5.0, section 3.14.2.1)."""

OnGranted = Callable[[tuple[int, ...]], None]


class Receiver(Protocol):
    """Where the messages of a session go."""

    def receive(self, publish: Publish) -> None:
        """Take one message; never waits."""

    def is_full(self) -> bool:
        """Tell whether reading must pause."""

    async def wait_room(self) -> None:
        """Wait until it is not full."""

    def tick(self, now: float) -> None:
        """Look at the clock: called several times a keepalive, with trio's time."""


class Client:
    """A session that the broker has accepted."""

    def __init__(self, stream: Stream, address: Address, engine: Engine, limits: Limits, early: list[Event]) -> None:
        """``early`` is what came right behind CONNACK."""
        self.address = address
        self.limits = limits
        self.settings = engine.settings
        self.outgoing = Outgoing(engine, limits, write_now=partial(write_now, stream))
        self.receiver: Receiver | None = None
        self._stream = stream
        self._engine = engine
        self._early = early
        self._heard = trio.current_time()
        self._said = self._heard
        self._paused = False
        self._writing: list[Callable[[int], None]] | None = None
        self._grants: dict[int, OnGranted] = {}
        self._lost: Lost | None = None
        self._ended = False

    # ---- for those who use it

    def subscribe(self, filters: Sequence[tuple[str, int]], on_granted: OnGranted) -> None:
        """Subscribe to checked filters with their QoS; ``on_granted`` gets the code for each.

        Messages may come before that: whoever takes them must not wait for the codes.
        """
        packet_id, data = self._engine.subscribe(filters)
        self._grants[packet_id] = on_granted
        self.outgoing.write(data)

    def acknowledge(self, publish: Publish, reason: int = 0) -> None:
        """Tell the broker that a message of QoS 1 or 2 has come to its end."""
        if not self._ended:
            self.outgoing.write(self._engine.acknowledge(publish, reason))

    # ---- the session

    async def run(self) -> NoReturn:
        """Keep the session; raises Lost when the broker is gone."""
        try:
            async with trio.open_nursery() as nursery:
                for task in (self._read, self._write, self._watch):
                    nursery.start_soon(self._guard, task, nursery.cancel_scope)
            raise self._lost or Lost(faults.CONNECTION_LOST)
        finally:
            self._ended = True
            try:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _FAREWELL):
                    await self._say_goodbye()
                    await trio.aclose_forcefully(self._stream)
            finally:
                self.outgoing.lose(self._writing or [])

    async def _guard(self, task: Callable[[], Any], scope: trio.CancelScope) -> None:
        """Run one of the three; the first to lose the broker ends all and gives the reason."""
        try:
            await task()
        except Lost as lost:
            self._lost = self._lost or lost
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._lost = self._lost or broken(self.address, error, "the session")
        scope.cancel()

    async def _say_goodbye(self) -> None:
        """Send what waits and DISCONNECT, unless the stream broke or was cut within a packet."""
        if self._lost is not None or self._writing is not None:
            return
        try:
            data, self._writing = self.outgoing.take()
            await self._stream.send_all(data + self._engine.disconnect())
            written, self._writing = self._writing, None
            self.outgoing.wrote(written)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._lost = Lost(faults.CONNECTION_LOST)

    async def _write(self) -> None:
        outgoing, stream = self.outgoing, self._stream
        while True:
            await outgoing.wait_output()
            await trio.lowlevel.checkpoint_if_cancelled()  # a send that was cancelled may be half done
            data, self._writing = outgoing.take()
            await stream.send_all(data)
            self._said = trio.current_time()
            written, self._writing = self._writing, None
            outgoing.wrote(written)

    async def _read(self) -> None:
        self._dispatch(self._early)
        stream, receive = self._stream, self._engine.receive
        while True:
            if self.receiver is not None and self.receiver.is_full():
                await self._pause(self.receiver)
            data = await read(stream, _CHUNK)
            self._heard = trio.current_time()
            if not data:
                raise broken(self.address, None, "the session")
            self._dispatch(receive(data))

    async def _pause(self, receiver: Receiver) -> None:
        self._paused = True
        try:
            await receiver.wait_room()
        finally:
            self._paused = False
            self._heard = trio.current_time()

    async def _watch(self) -> None:
        keepalive = self.limits.keepalive
        asked = -math.inf
        while True:
            await trio.sleep(keepalive / 8 if keepalive else 1.0)
            now = trio.current_time()
            if self.receiver is not None:
                self.receiver.tick(now)
            if not keepalive:
                continue
            if now - self._heard > keepalive * 1.25:
                await trio.lowlevel.checkpoint()  # if we were held up, what came is read first
            silent = now - self._heard
            if silent > keepalive * 1.25 and not self._paused:
                raise Lost(
                    faults.KEEPALIVE_TIMEOUT, f"{self.address} has been silent for {silent:.1f} s"
                )
            quiet = silent > keepalive / 2 or now - self._said > keepalive / 2
            if quiet and now - asked > keepalive / 2:
                asked = now
                self.outgoing.write(PINGREQ)

    # ---- events

    def _dispatch(self, events: list[Event]) -> None:
        acked = False
        for event in events:
            if type(event) is Puback:
                acked = True
                done = self._engine.unacked.pop(event.packet_id, None)
                if done is not None:
                    done(event.reason)
            elif type(event) is Publish:
                if self.receiver is not None:
                    self.receiver.receive(event)
                elif event.qos:
                    self.acknowledge(event)
            else:
                self._control(event)
        if acked:
            self.outgoing.look_again()
        answers = self._engine.answers()
        if answers:
            self.outgoing.write(answers)

    def _control(self, event: Event) -> None:
        if isinstance(event, Granted):
            on_granted = self._grants.pop(event.packet_id, None)
            if on_granted is not None:
                on_granted(event.codes)
        elif isinstance(event, ProtocolError):
            raise Lost(faults.NOT_MQTT, f"{self.address}: {event.text}")
        elif isinstance(event, Dismissed):
            self._blame(event)
            known = event.reason >= 0x80
            fault = faults.fault_of(event.reason) if known else faults.CONNECTION_LOST
            raise Lost(fault, f"{self.address} closed the session: {event.text or fault.name}")

    def _blame(self, event: Dismissed) -> None:
        """Where just one message is on its way, it is the one that the broker could not take."""
        unacked = self._engine.unacked
        if event.reason in _BLAMES_A_MESSAGE and len(unacked) == 1:
            unacked.popitem()[1](event.reason)


async def open_client(address: Address, tls: TLS, settings: Settings, timeout: float) -> Client:
    """Dial and connect within ``timeout`` seconds. Raises Lost, or ConfigError for bad TLS files."""
    stream: Stream | None = None
    try:
        with trio.fail_after(timeout):
            stream = await dial(address, tls)
            return await connect_over(stream, address, settings)
    except trio.TooSlowError:
        did = "not answer CONNECT"
        if stream is None:
            did = "not complete TCP and TLS" if address.secure else "not accept the connection"
        await _close(stream)
        raise Lost(faults.CONNECT_TIMEOUT, f"{address} did {did} within {timeout:g} s") from None
    except BaseException:
        await _close(stream)
        raise


async def _close(stream: Stream | None) -> None:
    if stream is not None:
        await trio.aclose_forcefully(stream)


async def connect_over(stream: Stream, address: Address, settings: Settings) -> Client:
    """Say CONNECT over a stream to ``address`` and wait for CONNACK. Raises Lost."""
    engine = Engine(settings)
    try:
        await stream.send_all(engine.connect())
        events: list[Event] = []
        heard = False
        while not events:
            data = await stream.receive_some(_CHUNK)
            if not data:
                raise Lost(faults.CLOSED_AT_ONCE, f"{address} closed the connection without CONNACK")
            if not heard and data[0] != Kind.CONNACK:  # nothing else may come first
                shown = bytes(data[:20])
                raise Lost(faults.NOT_MQTT, f"{address} answers CONNECT with {shown!r}, not CONNACK")
            heard = True
            events = engine.receive(bytes(data))
    except trio.BrokenResourceError as error:
        raise broken(address, error, "CONNECT") from error
    first, *early = events
    if isinstance(first, Connected):
        return Client(stream, address, engine, first.limits, early)
    raise _refusal(address, settings, first)


class ConnectRefused(Lost):
    """The broker answered CONNECT with a refusal; ``reason`` is a 5.0 reason code."""

    def __init__(self, refused: Refused, text: str) -> None:
        super().__init__(faults.fault_of(refused.reason), text)
        self.reason = refused.reason


def _refusal(address: Address, settings: Settings, event: Event) -> Lost:
    if isinstance(event, ProtocolError):
        return Lost(faults.NOT_MQTT, f"{address}: {event.text}")
    if not isinstance(event, Refused):
        return Lost(faults.NOT_MQTT, f"{address} did not answer CONNECT with CONNACK")
    fault = faults.fault_of(event.reason)
    said = f' ("{event.text}")' if event.text else ""
    if event.code < 0x80:
        said += f" (return code {event.code} of MQTT 3.1.1)"
    who = f"client {settings.client_id!r}"
    if settings.username is not None:
        who += f", user {settings.username!r}"
    return ConnectRefused(event, f"{address} refused {who}: {fault.name}{said}")
