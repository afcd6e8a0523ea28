"""Many clients of a websocket-server at once: nobody waits for another one."""

from __future__ import annotations

import socket

import pytest
import trio

from flowbus import Message
from flowbus.testing import Flow, run_flow
from tests.system.test_websocket_server_abuse import BINARY, CLOSE, FIN, frame
from tests.system.websocket_peers import REQUEST, details, flow_of, port_of, raw_client, serving

pytestmark = pytest.mark.system

CLIENTS = 1001
MESSAGES = 12
PAYLOAD = b"x" * 5000
SIZE = len(PAYLOAD) + 4  # of a frame from a server


class Reader:
    """A client that takes what it gets, and knows how much that was."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.got = 0

    async def read(self, size: int) -> None:
        """Return once so many bytes have come in all."""
        while self.got < size:
            data = await self.stream.receive_some(size - self.got)
            assert data, f"hung up after {self.got} bytes"
            self.got += len(data)


async def read_all(readers: list[Reader], size: int) -> None:
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.read, size)


async def fill(flow: Flow, name: str, most: int) -> int:
    """Send to a client that does not read until ``most`` bytes are queued; return how many messages."""
    count = 0
    while (queued := details(flow)["connections"][0]["queued"]) + 2 * SIZE <= most:
        flow.put_soon("in", Message(PAYLOAD, headers={"connection": name}))
        count += 1
        if queued or count % 10 == 0:
            await trio.testing.wait_all_tasks_blocked(0.001)
    return count


@pytest.mark.parametrize("policy", ["drop", "close", "wait"])
async def test_one_slow_client_in_a_broadcast_to_1000_delays_no_one(policy: str) -> None:
    options = {"slow_client": policy, "send_queue": 10 * SIZE, "keepalive": False}
    streams: list[trio.SocketStream] = []
    async with serving(**options, close_timeout=0.2, max_connections=CLIENTS) as (flow, port):
        try:
            streams.append(await raw_client(port))
            name = (await flow.get("events")).payload["connection"]
            before = await fill(flow, name, 10 * SIZE)
            streams += [await raw_client(port) for _ in range(CLIENTS - 1)]
            slow, *others = map(Reader, streams)
            for _ in range(MESSAGES):
                flow.put_soon("in", Message(PAYLOAD))
            if policy != "wait":
                await read_all(others, MESSAGES * SIZE)
                assert flow.report()["nodes"]["ws"]["faults"]["ws.send_queue_full"] >= 1
                told = details(flow)
                assert told["clients"] == CLIENTS - (policy == "close")
                assert len(told["connections"]) == 1000, (
                    "the first ones are shown, and how many there are"
                )
            else:
                # The first that there is no room for has gone to all others before.
                await read_all(others, 2 * SIZE)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read_all, others, MESSAGES * SIZE)
                    nursery.start_soon(slow.read, (before + MESSAGES) * SIZE)
                await flow.wait_settled()
                assert flow.report()["nodes"]["ws"]["faults"] == {}
                assert flow.report()["ledger"]["sources"]["in"]["confirmed"] == before + MESSAGES
        finally:
            for stream in streams:
                await trio.aclose_forcefully(stream)


async def test_a_hot_connection_does_not_starve_the_others() -> None:
    """All of its messages are there before the one of the cold client, which yet is not the last."""
    count, turn = 50_000, 65536  # messages; bytes that are read at a time
    hot_frame, cold_frame = frame(FIN | BINARY, b"hot"), frame(FIN | BINARY, b"cold")
    with trio.fail_after(30):
        async with run_flow(flow_of()) as flow:
            await flow.wait_running()
            hot, cold = [open_client(port_of(flow)) for _ in range(2)]
            with hot, cold:
                for _ in range(2):
                    await flow.get("events")
                # Nothing else runs between these lines, so the server reads neither before both.
                assert hot.send(hot_frame * count) == len(hot_frame) * count
                assert cold.send(cold_frame) == len(cold_frame)
                place = 0
                while (await flow.get("out")).payload != b"cold":
                    place += 1
                assert place <= 2 * turn / len(hot_frame)
                for _ in range(count - place):
                    assert (await flow.get("out")).payload == b"hot"


def open_client(port: int) -> socket.socket:
    """Return a client that has asked, and whose answer will come."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    sock.sendall(REQUEST)
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("count", [5, 600])
async def test_a_stop_says_1001_to_all_even_in_the_middle_of_a_message(count: int) -> None:
    """Also to those who have begun a message, and to one for whom something is queued."""
    streams: list[trio.SocketStream] = []
    async with serving(keepalive=False) as (flow, port):
        try:
            streams += [await raw_client(port) for _ in range(count)]
            for stream in streams[:10]:
                await stream.send_all(frame(BINARY, b"begun"))
            first = (await flow.get("events")).payload["connection"]
            flow.put_soon("in", Message(b"x" * 100_000, headers={"connection": first}))
            report = await flow.stop()
            for number, stream in enumerate(streams):
                got = b""
                async for data in stream:
                    got += data
                assert got[-2 - len(STOPS) - 2 :][2:4] == (1001).to_bytes(2), number
                assert got.endswith(STOPS)
            assert report["ledger"]["in_flight"] == 0
        finally:
            for stream in streams:
                await trio.aclose_forcefully(stream)


STOPS = b"the server stops"


async def test_events_are_never_lost_and_never_those_of_another_client() -> None:
    """Each of many clients leaves with a code of its own, some in the middle of a message."""
    count = 300

    async def be(number: int) -> None:
        stream = await raw_client(port)
        remotes[number] = f"127.0.0.1:{stream.socket.getsockname()[1]}"
        code = (4000 + number).to_bytes(2)
        begun = frame(BINARY, b"x") if number % 3 == 0 else b""
        await stream.send_all(begun + frame(CLOSE, code + str(number).encode()))
        async for _ in stream:
            pass
        await stream.aclose()

    remotes: dict[int, str] = {}
    async with serving() as (flow, port):
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(be, number)
        events = [(await flow.get("events")).payload for _ in range(2 * count)]
        assert not flow.got("events")
    lives: dict[str, list[dict[str, object]]] = {}
    for event in events:
        lives.setdefault(event["connection"], []).append(event)
    assert len(lives) == count
    for came, left in lives.values():
        assert (came["event"], left["event"]) == ("connected", "disconnected")
        number = int(str(left["reason"]))
        assert left["code"] == 4000 + number
        assert came["remote"] == left["remote"] == remotes[number]
