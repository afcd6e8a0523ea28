"""A WebSocket sender outruns a stopped broker: memory stays, and nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import trio
from websockets.sync.client import connect

from tests.system import peers
from tests.system.test_main_job import tool

pytestmark = pytest.mark.system

RATE = 5000  # messages a second
SECONDS = 10


def flow(websocket: int, broker: int) -> dict[str, object]:
    return {
        "flowbus": 1,
        "name": "backpressure",
        "connections": {"plant": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker}"}},
        "nodes": {
            "server": {"type": "websocket-server", "port": websocket},
            "decode": {"type": "json-decode"},
            "route": {"type": "switch", "cases": {"speed": "payload.cmd = 'speed'"}},
            "value": {"type": "map", "payload": "{'number': payload.number, 'more': payload.more}"},
            "publish": {"type": "mqtt-out", "connection": "plant", "topic": "numbers", "qos": 1},
        },
        "wires": [
            ["server", "decode"],
            ["decode", "route"],
            ["route.speed", "value"],
            ["value", "publish"],
        ],
    }


async def test_a_sender_that_outruns_a_stopped_broker(tmp_path: Path) -> None:
    broker = peers.mosquitto(tmp_path)
    port = peers.free_port()
    flow_file, report_file = tmp_path / "flow.json", tmp_path / "report.json"
    runner = peers.flowbus(flow_file, tmp_path / "state", port)
    runner.command += ["--report", str(report_file)]
    with trio.fail_after(90), peers.ended(runner, broker):
        await broker.start()
        flow_file.write_text(json.dumps(flow(port, broker.port)))
        await runner.start()
        sent = await trio.to_thread.run_sync(stop_and_send, port, broker, runner)
        runner.signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(runner._process.wait) == 0  # type: ignore[union-attr]
    ledger = json.loads(report_file.read_text())["ledger"]
    assert ledger["sources"]["server"]["confirmed"] >= sent
    assert ledger["in_flight"] == ledger["rejected"] == 0


def stop_and_send(websocket: int, broker: peers.Process, runner: peers.Process) -> int:
    subscribe = [tool("mosquitto_sub"), "-p", str(broker.port), "-t", "numbers", "-q", "1"]
    subscribe += ["-c", "-i", "counter"]  # a lasting session, so that no message comes before it
    subprocess.run([*subscribe, "-E"], check=True, timeout=10)
    subscriber = subprocess.Popen(subscribe, stdout=subprocess.PIPE)
    numbers: set[int] = set()
    reader = threading.Thread(target=collect, args=(subscriber, numbers), name="collect")
    reader.start()
    try:
        with connect(f"ws://127.0.0.1:{websocket}") as cloud:
            count = send(cloud, 0, 1.0)  # everything is warm before the memory is measured
            wait_for(lambda: len(numbers) == count)
            before = resident(runner.pid)
            broker.signal(signal.SIGSTOP)
            released = threading.Timer(SECONDS, broker.signal, args=(signal.SIGCONT,))
            released.start()
            peak = Peak(runner.pid)
            peak.start()
            count = send(cloud, count, SECONDS)
            released.join()
            grown = peak.end() - before
            wait_for(lambda: len(numbers) == count)
        assert numbers == set(range(count))
        assert count > 0.5 * RATE
        assert grown < 20_000, f"memory grew by {grown} kB"
        return count
    finally:
        subscriber.kill()
        reader.join(5)


def send(cloud: object, number: int, seconds: float) -> int:
    """Send at RATE for so long, waiting where the peer does; return the next number."""
    start = time.monotonic()
    first, end = number, start + seconds
    while time.monotonic() < end:
        while number - first < (time.monotonic() - start) * RATE and time.monotonic() < end:
            cloud.send(json.dumps({"cmd": "speed", "number": number, "more": "x" * 150}))  # type: ignore[attr-defined]
            number += 1
        time.sleep(0.002)
    return number


def collect(subscriber: subprocess.Popen[bytes], numbers: set[int]) -> None:
    assert subscriber.stdout is not None
    for line in subscriber.stdout:
        numbers.add(json.loads(line)["number"])


class Peak(threading.Thread):
    """Watches the memory of a process until told to end."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="peak")
        self.pid = pid
        self.most = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, resident(self.pid))

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.most


def resident(pid: int) -> int:
    """Return the resident memory of a process in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def wait_for(condition: object) -> None:
    end = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited 30 s"
        time.sleep(0.05)
