"""Garbage on every listening port and from every peer: a fault each, never a bug, never an end."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from flowbus import State
from flowbus.testing import Flow, run_flow
from tests.system import peers

LISTENERS = {
    "websocket-server": ({}, "ws."),
    "mqtt-broker": ({}, "mqtt."),
    "ads-simulator": ({"host": "127.0.0.1", "symbols": {"MAIN.n": {"type": "INT"}}}, "ads."),
}
DIALLERS = {
    "websocket-client": ({"url": "ws://127.0.0.1:{port}"}, None, "ws."),
    "mqtt-out": ({"connection": "peer", "topic": "t"}, {"type": "mqtt", "url": "mqtt://127.0.0.1:{port}"}, "mqtt."),
    "ads-subscribe": (
        {"connection": "peer", "symbols": ["MAIN.n"]},
        {"type": "ads", "host": "127.0.0.1", "tcp_port": "{port}", "timeout": 0.3, "heartbeat": 0.3},
        "ads.",
    ),
}  # fmt: skip
FIXED = [
    b"",
    b"\0" * 100,
    b"\xff" * 100,
    b"GET / HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 200,  # a TLS ClientHello
    b"\x10\xff\xff\xff\x7f",  # an MQTT packet of 256 MB
    b"\0\0\xff\xff\xff\xff" + b"\0" * 50,  # an AMS frame of 4 GB
]


def garbage() -> list[bytes]:
    chance = random.Random(7)
    return FIXED + [chance.randbytes(chance.randrange(1, 3000)) for _ in range(20)]


def never_a_bug(flow: Flow) -> None:
    for name, told in flow.report()["nodes"].items():
        assert "flowbus.bug" not in told["faults"], name
        assert told["code"] != "flowbus.bug", name


@pytest.mark.parametrize("kind", list(LISTENERS))
async def test_garbage_on_a_listening_port(kind: str) -> None:
    options, domain = LISTENERS[kind]
    port = peers.free_port()
    value = {"nodes": {"node": {"type": kind, "port": port, **options}}, "wires": []}
    with trio.fail_after(60):
        async with run_flow(value) as flow:
            await flow.wait_running("node")
            for data in garbage():
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                async with stream:
                    with trio.move_on_after(0.2):  # most are closed at once, some wait for more
                        await stream.send_all(data)
                        while await stream.receive_some():
                            pass
            assert flow.status("node").state is State.RUNNING
            faults = flow.report()["nodes"]["node"]["faults"]
            assert faults
            assert all(code.startswith(domain) for code in faults), faults
            assert flow.report()["nodes"]["node"]["restarts"] == 0
            never_a_bug(flow)


@pytest.mark.parametrize("kind", list(DIALLERS))
async def test_garbage_from_a_peer(kind: str) -> None:
    options, connection, domain = DIALLERS[kind]
    pieces = garbage()
    asked = 0

    async def talk(stream: trio.SocketStream) -> None:
        nonlocal asked
        data = pieces[asked % len(pieces)]
        asked += 1
        with trio.move_on_after(0.3):
            try:
                await stream.receive_some()
                await stream.send_all(data)
            except trio.BrokenResourceError:
                pass  # it has hung up first, which is its right

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, talk, 0)
            port = listeners[0].socket.getsockname()[1]
            value = {
                "connections": {"peer": filled(connection, port)} if connection else {},
                "nodes": {"node": {"type": kind, **filled(options, port)}},
                "wires": [],
            }
            async with run_flow(value) as flow:
                codes: set[str] = set()
                while asked < len(pieces):
                    codes.add(flow.status("node").code)
                    await trio.sleep(0.02)
                assert codes - {""}
                assert all(code.startswith(domain) for code in codes - {""}), codes
                never_a_bug(flow)
            nursery.cancel_scope.cancel()


def filled(options: dict[str, Any], port: int) -> dict[str, Any]:
    return {
        key: (port if value == "{port}" else value.replace("{port}", str(port)))
        if isinstance(value, str)
        else value
        for key, value in options.items()
    }
