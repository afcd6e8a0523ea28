"""The node mqtt-broker with mosquitto's programs, paho and sockets as its clients."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import paho.mqtt.client as paho
import pytest
import trio

from flowbus import Message, Outcome, State
from flowbus.testing import Flow, run_flow

pytestmark = pytest.mark.system


@contextlib.asynccontextmanager
async def broker(**options: Any) -> AsyncIterator[tuple[Flow, int]]:
    """Run a broker between a source and a sink; gives its port."""
    value = {
        "nodes": {
            "in": {"type": "test-source"},
            "broker": {"type": "mqtt-broker", "port": 0, **options},
            "out": {"type": "test-sink"},
        },
        "wires": [["in", "broker"], ["broker", "out"]],
    }
    with trio.fail_after(30):
        async with run_flow(value) as flow:
            await flow.wait_running()
            yield flow, int(flow.status("broker").text.rpartition(":")[2])


@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_mosquitto_pub_and_sub(tool: Any, qos: str) -> None:
    async with broker() as (_, port), trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def subscribe() -> None:
            got.append(await tool("mosquitto_sub", port, "-t", "a/+", "-q", qos, "-C", "2", "-W", "10", "-v"))

        nursery.start_soon(subscribe)
        await tool("mosquitto_pub", port, "-t", "a/r", "-m", "kept", "-q", qos, "-r")
        while not got:
            await tool("mosquitto_pub", port, "-t", "a/b", "-m", "hello", "-q", qos)
        assert b"a/b hello\n" in got[0]


async def test_a_retained_message_reaches_who_comes_later(tool: Any) -> None:
    async with broker() as (_, port):
        await tool("mosquitto_pub", port, "-t", "a", "-m", "kept", "-r", "-q", "1")
        assert await tool("mosquitto_sub", port, "-t", "#", "-C", "1", "-W", "5") == b"kept\n"


async def test_the_flow_publishes_and_sees_what_clients_publish(tool: Any) -> None:
    async with broker(forward=["up/#"], topic="down/{topic}", retain=True, payload_format="json") as (flow, port):
        assert (await flow.put("in", Message({"v": 1}, "a"))).outcome is Outcome.CONFIRMED
        assert await tool("mosquitto_sub", port, "-t", "down/a", "-C", "1", "-W", "5") == b'{"v":1}\n'
        await tool("mosquitto_pub", port, "-t", "elsewhere", "-m", "1", "-q", "1")
        await tool("mosquitto_pub", port, "-t", "up/bad", "-m", "{", "-q", "1")
        await tool("mosquitto_pub", port, "-t", "up/good", "-m", "[2]", "-q", "1")
        message = await flow.get("out")
        assert (message.payload, message.topic) == ([2], "up/good")
        end = await flow.put("in", Message("x", "a/#"))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "mqtt.bad_topic")


async def test_a_client_of_5_is_refused_in_its_own_words() -> None:
    async with broker() as (_, port):
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-t", "a", "-m", "x"]
        done = await trio.run_process(command, capture_stderr=True, check=False)
        assert done.returncode == 132
        assert b"Unsupported Protocol Version" in done.stderr


async def test_users(tool: Any) -> None:
    async with broker(users={"joe": "right"}) as (_, port):
        await tool("mosquitto_pub", port, "-u", "joe", "-P", "right", "-t", "a", "-m", "x")
        for arguments in (["-u", "joe", "-P", "wrong"], []):
            command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), *arguments, "-t", "a", "-m", "x"]
            assert (await trio.run_process(command, capture_stderr=True, check=False)).returncode in (4, 5)


async def test_paho_with_a_will_and_a_lasting_session(tool: Any) -> None:
    async with broker() as (_, port):
        got: list[bytes] = []
        token = trio.lowlevel.current_trio_token()

        def connect(subscribe: bool) -> paho.Client:
            client = paho.Client(paho.CallbackAPIVersion.VERSION2, "reader", clean_session=False)
            client.on_message = lambda c, u, m: token.run_sync_soon(got.append, m.payload)
            client.will_set("will", b"gone", 1, True)
            client.connect("127.0.0.1", port)
            if subscribe:
                client.subscribe("a", 1)
            client.loop_start()
            return client

        first = await trio.to_thread.run_sync(connect, True)
        while b"1" not in got:
            await tool("mosquitto_pub", port, "-t", "a", "-m", "1", "-q", "1")
        first.loop_stop()
        first.socket().close()  # type: ignore[union-attr]
        assert await tool("mosquitto_sub", port, "-t", "will", "-C", "1", "-W", "5") == b"gone\n"
        await tool("mosquitto_pub", port, "-t", "a", "-m", "missed", "-q", "1")
        second = await trio.to_thread.run_sync(connect, False)
        while b"missed" not in got:
            await trio.sleep(0.01)
        second.disconnect()
        second.loop_stop()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\x7f", b"\x00" * 100, b"\x10\x04\x00\x02XX", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_garbage_closes_just_that_client(tool: Any, garbage: bytes) -> None:
    async with broker() as (flow, port):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(garbage)
            await stream.send_eof()
            assert await stream.receive_some() == b""
        await stream.aclose()
        await tool("mosquitto_pub", port, "-t", "a", "-m", "x", "-q", "1")
        assert flow.status("broker").state is State.RUNNING


async def test_a_silent_client_is_closed_after_one_and_a_half_keepalives(tool: Any) -> None:
    async with broker() as (_, port):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        # keepalive 1, a will on "will" with "gone", retained
        await stream.send_all(bytes.fromhex("101a 0004 4d515454 04 26 0001 0002 6d65 0004 77696c6c 0004 676f6e65"))
        assert await stream.receive_some() == b"\x20\x02\x00\x00"
        assert await stream.receive_some() == b""
        assert await tool("mosquitto_sub", port, "-t", "will", "-C", "1", "-W", "5") == b"gone\n"


async def test_a_client_that_does_not_read_holds_up_nobody(tool: Any) -> None:
    async with broker(max_queued=10) as (flow, port):
        slow = await trio.open_tcp_stream("127.0.0.1", port)
        await slow.send_all(bytes.fromhex("100e 0004 4d515454 04 02 0000 0002 6d65 8206 0001 0001 61 00"))
        assert (await slow.receive_some()).startswith(b"\x20\x02\x00\x00")
        for _ in range(300):
            assert (await flow.put("in", Message(b"x" * 50_000, "a"))).outcome is Outcome.CONFIRMED
        await tool("mosquitto_pub", port, "-t", "b", "-m", "x", "-q", "1")


async def test_no_more_than_max_clients() -> None:
    async with broker(max_clients=1) as (_, port):
        connect = "100d 0004 4d515454 04 02 0000 0001 "
        first = await trio.open_tcp_stream("127.0.0.1", port)
        await first.send_all(bytes.fromhex(connect + "61"))
        assert await first.receive_some() == b"\x20\x02\x00\x00"
        second = await trio.open_tcp_stream("127.0.0.1", port)
        await second.send_all(bytes.fromhex(connect + "62"))
        assert await second.receive_some() == b"\x20\x02\x00\x03"
        again = await trio.open_tcp_stream("127.0.0.1", port)
        await again.send_all(bytes.fromhex(connect + "61"))
        assert await again.receive_some() == b"\x20\x02\x00\x00", "the same client may come back"
        assert await first.receive_some() == b""


async def test_a_port_that_is_taken_is_named() -> None:
    async with broker() as (_, port):
        value = {
            "nodes": {"in": {"type": "test-source"}, "b": {"type": "mqtt-broker", "port": port}},
            "wires": [["in", "b"]],
        }
        async with run_flow(value) as flow:
            status = await flow.wait_state("b", State.WAITING)
            assert status.code == "mqtt.address_in_use"
            assert str(port) in status.text


async def test_a_flow_against_its_own_broker() -> None:
    async with broker() as (_, port):
        value = {
            "connections": {"c": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{port}"}},
            "nodes": {
                "in": {"type": "test-source"},
                "pub": {"type": "mqtt-out", "connection": "c", "qos": 1, "topic": "a", "retain": True},
                "sub": {"type": "mqtt-in", "connection": "c", "topics": ["#"], "qos": 1},
                "got": {"type": "test-sink"},
            },
            "wires": [["in", "pub"], ["sub", "got"]],
        }
        async with run_flow(value) as flow:
            await flow.wait_running()
            assert (await flow.put("in", Message("x"))).outcome is Outcome.CONFIRMED
            assert (await flow.get("got")).payload == b"x"
