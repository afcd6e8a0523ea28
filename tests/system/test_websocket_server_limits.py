"""Who may connect to a websocket-server, how many, and for how long."""

from __future__ import annotations

import socket

import pytest
import trio

from flowbus import Message, State
from flowbus.testing import run_flow
from tests.system.websocket_peers import (
    connected,
    details,
    exchange,
    faults,
    flow_of,
    in_thread,
    port_of,
    raw_client,
    refused,
    serving,
)

pytestmark = pytest.mark.system


async def test_who_is_not_allowed_is_refused_before_anything_is_read() -> None:
    async with serving(block_clients=["127.0.0.*"]) as (flow, port):
        assert await in_thread(exchange, port, b"") == b""
        assert details(flow)["refused_by"] == {"ws.address_refused": 1}
    async with serving(allow_clients=["10.0.0.0/8", "*.invalid"]) as (flow, port):
        assert await in_thread(exchange, port, b"") == b""
        assert details(flow)["refused"] == 1
        assert await faults(flow, 1) == {"ws.address_refused": 1}


async def test_who_is_allowed_is_served() -> None:
    options = {"allow_clients": ["localhost", "10.0.0.0/8"], "block_clients": ["127.0.0.2"]}
    async with serving(**options) as (flow, port), connected(port) as peer:
        await peer.send("hello")
        assert (await flow.get("out")).payload == "hello"
        assert details(flow)["refused"] == 0


async def test_the_one_too_many_gets_503_and_is_counted() -> None:
    async with serving(max_connections=2) as (flow, port):
        async with connected(port), connected(port):
            for _ in range(2):
                await flow.get("events")
            for _ in range(3):
                assert await in_thread(refused, f"ws://127.0.0.1:{port}") == 503
            while details(flow)["refused"] < 3:  # it is counted once the client has hung up
                await trio.sleep(0.01)
            assert details(flow)["refused_by"] == {"ws.too_many_connections": 3}
        for _ in range(2):
            await flow.get("events")
        async with connected(port) as peer:
            await peer.send("again")
            assert (await flow.get("out")).payload == "again"


async def test_500_dead_handshakes_at_once_are_bounded_and_others_are_served() -> None:
    dead: list[trio.SocketStream] = []
    async with serving(max_connections=10, handshake_timeout=60) as (flow, port):
        try:
            for number in range(500):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                dead.append(stream)
                if number % 2:
                    await stream.send_all(b"GET / HTTP/1.1\r\nHost:")
                assert details(flow)["handshakes"] <= 64
            async with connected(port) as peer:
                await peer.send("alive")
                assert (await flow.get("out")).payload == "alive"
            told = details(flow)
            assert told["refused_by"]["ws.too_many_handshakes"] >= 500 - 64
            assert flow.status("ws").state is State.RUNNING
        finally:
            for stream in dead:
                await trio.aclose_forcefully(stream)


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    options = {"send_timeout": 0.3, "keepalive": False, "close_timeout": 0.1, "send_buffer": 10_000}
    async with serving(**options) as (flow, port):
        async with await raw_client(port):
            event = (await flow.get("events")).payload
            end = await flow.put("in", Message(b"x" * 10_000_000))
            assert end.code == "ws.connection_lost"
            left = (await flow.get("events")).payload
        assert (left["connection"], left["code"]) == (event["connection"], 1006)
        assert "took nothing for 0.3 s" in left["reason"]
        assert flow.report()["nodes"]["ws"]["faults"]["ws.send_timed_out"] == 1


async def test_progress_extends_the_time_for_sending() -> None:
    size = 400_000
    options = {"send_timeout": 2, "keepalive": False, "send_buffer": 10_000}
    async with serving(**options) as (flow, port):
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        await sock.connect(("127.0.0.1", port))
        async with await raw_client(port, stream=trio.SocketStream(sock)) as stream:
            await flow.get("events")
            flow.put_soon("in", Message(b"x" * size))
            got = 0
            while got < size:  # takes longer than send_timeout, with a pause before each piece
                await trio.sleep(0.15)
                got += len(await stream.receive_some(20_000))
            await flow.wait_settled()
        assert flow.report()["ledger"]["rejected"] == 0


async def test_an_idle_client_is_closed_with_1001() -> None:
    async with serving(idle_timeout=1.5, keepalive_interval=0.2) as (flow, port):
        async with connected(port) as peer:
            await peer.send("once")
            assert await peer.closed() == (1001, "idle")
        await flow.get("events")
        left = (await flow.get("events")).payload
        assert (left["event"], left["code"], left["reason"]) == ("disconnected", 1001, "idle")


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "*", "ipv6": "both"}, "ws://[::1]"),
        ({"host": "*", "ipv6": "both"}, "ws://127.0.0.1"),
        ({"host": "*", "ipv6": "no"}, "ws://127.0.0.1"),
        ({"host": "::1", "ipv6": "only"}, "ws://[::1]"),
        ({"host": "localhost"}, "ws://127.0.0.1"),
    ],
)
async def test_ipv4_and_ipv6(options: dict[str, str], url: str) -> None:
    async with serving(**options) as (flow, port):
        assert await in_thread(refused, f"{url}:{port}") == 101
        assert details(flow)["port"] == port
        assert details(flow)["listening"] is True


@pytest.mark.parametrize(("ipv6", "other"), [("only", "127.0.0.1"), ("no", "::1")])
async def test_the_other_family_is_not_listened_on(ipv6: str, other: str) -> None:
    async with serving(host="*", ipv6=ipv6) as (_flow, port):
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(other, port)


async def test_a_port_is_taken_exclusively() -> None:
    async with serving(host="*") as (_flow, port):
        for host in ("127.0.0.1", "*"):
            async with run_flow(flow_of(host=host, port=port)) as second:
                await second.wait_code("ws", "ws.address_in_use")


async def test_the_port_is_free_again_at_once() -> None:
    async with serving() as (flow, port), connected(port):
        await flow.get("events")
        await flow.stop()
    async with serving(port=port) as (flow, again):
        assert again == port_of(flow) == port


async def test_what_the_status_says_of_each_client() -> None:
    headers = {"Authorization": "Bearer abc", "Cookie": "a=b", "X-Api-Token": "t", "X-Line": "3"}
    async with (
        serving() as (flow, port),
        connected(port, "/p?token=abc", origin="http://o", additional_headers=headers) as peer,
    ):
        await peer.send("12345")
        await flow.get("out")
        await flow.put("in", Message("123"))
        await peer.recv()
        told = details(flow)
        assert told["clients"] == 1
        (client,) = told["connections"]
        ours = peer.connection.socket.getsockname()
        assert client["remote"] == f"127.0.0.1:{ours[1]}"
        assert client["local"] == f"127.0.0.1:{port}"
        assert (client["path"], client["origin"]) == ("/p", "http://o")
        assert client["host"] == f"127.0.0.1:{port}"
        shown = client["headers"]
        assert [shown[name] for name in ("authorization", "cookie", "x-api-token")] == ["***"] * 3
        assert (shown["x-line"], shown["upgrade"]) == ("3", "websocket")
        assert (client["messages_in"], client["messages_out"]) == (1, 1)
        assert (client["bytes_in"], client["bytes_out"]) == (5 + 6, 3 + 2)
        assert (client["queued"], client["ready"], client["accept_data"]) == (0, True, True)
        assert client["since"] <= (await flow.get("events")).time / 1e9 + 1
        assert "abc" not in str(told)
