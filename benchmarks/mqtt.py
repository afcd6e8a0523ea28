"""Messages of 100 B a second to and from mosquitto: flowbus' client beside plain paho in its thread.

Publishing is measured until the last message has its end (QoS 0: handed to the operating system,
QoS 1: acknowledged; 100 may be in flight). Receiving is measured on what the broker has kept for a
lasting session, so that no publisher competes for the machine. Both sides speak the same version.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import trio
from flowbus_mqtt.client import Client, open_client
from flowbus_mqtt.dial import Address
from flowbus_mqtt.protocol.packets import Publish, Version
from flowbus_mqtt.settings import Settings
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks import broker as brokers
from benchmarks.process import Process, free_port
from flowbus import TLS

TOPIC = "site/line3/MAIN.rActual"
PAYLOAD = b"x" * 100
IN_FLIGHT = 100
PEER = "paho, threaded"
LASTING = "queue_qos0_messages true\nmax_queued_bytes 0\n"

Figures = tuple[float, float]  # messages/s, µs CPU a message


async def run(quick: bool = False) -> list[dict[str, Any]]:
    """Return rows of name, unit, flowbus, peer, peer_name and ratio."""
    count = 8_000 if quick else 60_000
    rows = []
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port:
        for version in (Version.V311, Version.V5):
            bench = Bench(port, version, count)
            for qos in (0, 1):
                what = f"MQTT {'5.0' if version == Version.V5 else '3.1.1'}, QoS {qos}"
                rows += row(
                    f"{what}, publish", await bench.publish(qos), await bench.paho_publish(qos)
                )
                rows += row(
                    f"{what}, receive", await bench.receive(qos), await bench.paho_receive(qos)
                )
    return rows


def row(name: str, ours: Figures, theirs: Figures) -> list[dict[str, Any]]:
    """Return the row of the rate and that of the CPU time."""
    values: list[tuple[str, float, float, float]] = [
        ("msg/s", ours[0], theirs[0], ours[0] / theirs[0]),
        ("µs CPU/msg", ours[1], theirs[1], theirs[1] / ours[1]),
    ]
    return [
        {
            "name": name,
            "unit": unit,
            "flowbus": mine,
            "peer": peer,
            "peer_name": PEER,
            "ratio": ratio,
        }
        for unit, mine, peer, ratio in values
    ]


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """Run a broker that keeps all messages of a lasting session, QoS 0 too; yield its port."""
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(brokers.CONFIG.format(port=port) + LASTING, encoding="utf-8")
    with Process(["mosquitto", "-c", config], folder / "mosquitto.log"):
        for _ in range(250):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            time.sleep(0.02)
        yield port


class Watch:
    """Takes the time and the CPU time of this process from now on."""

    def __init__(self) -> None:
        self._time, self._cpu = time.perf_counter(), time.process_time()

    def figures(self, count: int) -> Figures:
        took = time.perf_counter() - self._time
        return count / took, (time.process_time() - self._cpu) / count * 1e6


class Counter:
    """A receiver that acknowledges at once and says when it has seen enough."""

    def __init__(self, client: Client, wanted: int) -> None:
        self._client = client
        self._left = wanted
        self.done = trio.Event()

    def receive(self, publish: Publish) -> None:
        if publish.qos:
            self._client.acknowledge(publish)
        self._left -= 1
        if not self._left:
            self.done.set()

    def is_full(self) -> bool:
        return False

    async def wait_room(self) -> None:
        pass

    def tick(self, now: float) -> None:
        pass


async def subscribe(client: Client, topic: str, qos: int) -> None:
    granted = trio.Event()
    client.subscribe([(topic, qos)], lambda codes: granted.set())
    await granted.wait()


class Bench:
    """The measurements of one version."""

    def __init__(self, port: int, version: Version, count: int) -> None:
        self._port = port
        self._version = version
        self._count = count
        self._paho_count = count // 4  # its rates do not depend on it

    # ---- flowbus

    @contextlib.asynccontextmanager
    async def _client(self, client_id: str, **more: Any) -> AsyncIterator[Client]:
        address = Address("127.0.0.1", self._port, False)
        settings = Settings(client_id=client_id, version=self._version, **more)
        client = await open_client(address, TLS(), settings, 5)
        async with trio.open_nursery() as nursery:
            yield self._started(client, nursery)
            nursery.cancel_scope.cancel()

    @staticmethod
    def _started(client: Client, nursery: trio.Nursery) -> Client:
        nursery.start_soon(client.run)
        return client

    async def publish(self, qos: int) -> Figures:
        async with self._client("publisher") as client:
            watch = Watch()
            await self._publish_all(client, qos, self._count)
            return watch.figures(self._count)

    async def _publish_all(self, client: Client, qos: int, count: int) -> None:
        outgoing, in_flight, ended = client.outgoing, 0, 0

        def end(reason: int) -> None:
            nonlocal in_flight, ended
            in_flight -= 1
            ended += 1

        def has_ample_room() -> bool:
            return outgoing.has_ample_room(qos) and (not qos or in_flight <= IN_FLIGHT // 2)

        for _ in range(count):
            if not outgoing.has_room(qos) or (qos and in_flight >= IN_FLIGHT):
                await outgoing.wait_until(has_ample_room)
            outgoing.publish(TOPIC, PAYLOAD, qos, False, end)
            in_flight += 1
        if ended < count:
            await outgoing.wait_until(lambda: ended == count)

    async def receive(self, qos: int) -> Figures:
        lasting = {"clean_start": False, "session_expiry": 300, "receive_maximum": IN_FLIGHT}
        name = f"receiver-{self._version}-{qos}"
        async with self._client(name, **lasting) as client:
            await subscribe(client, TOPIC, qos)
        await self._fill(self._count)
        address = Address("127.0.0.1", self._port, False)
        settings = Settings(client_id=name, version=self._version, **lasting)  # type: ignore[arg-type]
        client = await open_client(address, TLS(), settings, 5)
        client.receiver = counter = Counter(client, self._count)
        async with trio.open_nursery() as nursery:
            watch = Watch()
            nursery.start_soon(client.run)
            with trio.fail_after(60):
                await counter.done.wait()
            figures = watch.figures(self._count)
            nursery.cancel_scope.cancel()
        async with self._client(name):
            return figures

    async def _fill(self, count: int) -> None:
        async with self._client("filler") as client:
            await self._publish_all(client, 1, count)

    # ---- the peer

    def _paho(self, client_id: str, lasting: bool = False) -> paho.Client:
        v5 = self._version == Version.V5
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, None if v5 else not lasting,
            protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
        )  # fmt: skip
        client.max_inflight_messages_set(IN_FLIGHT)
        return client

    def _connect(self, client: paho.Client, lasting: bool = False) -> None:
        if self._version != Version.V5:
            client.connect("127.0.0.1", self._port)
            return
        properties = Properties(PacketTypes.CONNECT)
        if lasting:
            properties.SessionExpiryInterval = 300
            properties.ReceiveMaximum = IN_FLIGHT
        client.connect("127.0.0.1", self._port, clean_start=not lasting, properties=properties)

    async def paho_publish(self, qos: int) -> Figures:
        return await trio.to_thread.run_sync(self._paho_publish, qos)

    def _paho_publish(self, qos: int) -> Figures:
        client = self._paho("paho-publisher")
        connected, done, left = threading.Event(), threading.Event(), self._paho_count

        def on_publish(*_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        client.on_connect = lambda *_: connected.set()
        client.on_publish = on_publish
        self._connect(client)
        client.loop_start()
        connected.wait(5)
        watch = Watch()
        for _ in range(self._paho_count):
            client.publish(TOPIC, PAYLOAD, qos)
        done.wait(120)
        figures = watch.figures(self._paho_count)
        self._close(client)
        return figures

    async def paho_receive(self, qos: int) -> Figures:
        name = f"paho-{self._version}-{qos}"
        await trio.to_thread.run_sync(self._paho_subscribe, name, qos)
        await self._fill(self._paho_count)
        return await trio.to_thread.run_sync(self._paho_drain, name)

    def _paho_subscribe(self, name: str, qos: int) -> None:
        client = self._paho(name, lasting=True)
        subscribed = threading.Event()
        client.on_connect = lambda *_: client.subscribe(TOPIC, qos)
        client.on_subscribe = lambda *_: subscribed.set()
        self._connect(client, lasting=True)
        client.loop_start()
        subscribed.wait(5)
        self._close(client)

    def _paho_drain(self, name: str) -> Figures:
        client = self._paho(name, lasting=True)
        done, left = threading.Event(), self._paho_count

        def on_message(*_: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        client.on_message = on_message
        watch = Watch()
        self._connect(client, lasting=True)
        client.loop_start()
        done.wait(120)
        figures = watch.figures(self._paho_count)
        client.unsubscribe(TOPIC)
        self._close(client)
        return figures

    @staticmethod
    def _close(client: paho.Client) -> None:
        client.disconnect()
        client.loop_stop()
