"""websocket-server against clients of the websockets library, and against sockets that misbehave."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.client import connect as connect_sync

from flowbus import Message, Outcome, State
from flowbus.logs import LEVELS
from flowbus.testing import run_flow
from tests.system.websocket_peers import (
    REQUEST,
    connected,
    exchange,
    flow_of,
    in_thread,
    port_of,
    refused,
    serving,
)

pytestmark = pytest.mark.system


async def test_messages_carry_their_connection_and_go_back_to_it() -> None:
    async with serving() as (flow, port), connected(port, "/a?b=c") as peer:
        event = (await flow.get("events")).payload
        assert event["event"] == "connected"
        assert event["path"] == "/a"
        assert event["remote"].startswith("127.0.0.1:")
        for payload, kind in (("äöü", "text"), (b"\x00\xff", "binary"), ("x" * 200_000, "text")):
            await peer.send(payload)
            message = await flow.get("out")
            assert message.payload == payload
            assert message.headers == {
                "connection": event["connection"],
                "remote": event["remote"],
                "content_type": kind,
            }
            end = await flow.put("in", message.with_payload(payload))
            assert end.outcome is Outcome.CONFIRMED
            assert await peer.recv() == payload


async def test_one_several_or_all() -> None:
    async with (
        serving() as (flow, port),
        connected(port) as a,
        connected(port) as b,
        connected(port) as c,
    ):
        ids = []
        for peer in (a, b, c):
            await peer.send("hello")
            ids.append((await flow.get("out")).headers["connection"])
        await flow.put("in", Message("all"))
        await flow.put("in", Message("two", headers={"connection": ids[:2]}))
        await flow.put("in", Message({"n": 1}, headers={"connection": ids[2]}))
        assert [await a.recv(), await a.recv()] == ["all", "two"]
        assert [await b.recv(), await b.recv()] == ["all", "two"]
        assert [await c.recv(), await c.recv()] == ["all", '{"n":1}']


async def test_unknown_connections_reject_and_nobody_is_no_error() -> None:
    async with serving() as (flow, _port):
        for address in ("nobody", ["nobody"], 7):
            end = await flow.put("in", Message("x", headers={"connection": address}))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.unknown_connection")
        assert (await flow.put("in", Message("x"))).outcome is Outcome.DROPPED
        end = await flow.put("in", Message(object()))
        assert (end.outcome, end.code) == (Outcome.REJECTED, "ws.bad_payload")


async def test_an_id_never_leads_to_somebody_else() -> None:
    async with serving() as (flow, port):
        async with connected(port):
            first = (await flow.get("events")).payload["connection"]
        await flow.get("events")
        async with connected(port):
            assert (await flow.get("events")).payload["connection"] != first
            end = await flow.put("in", Message("x", headers={"connection": first}))
            assert end.code == "ws.unknown_connection"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4000, "ä")])
async def test_who_leaves_is_told_with_code_and_reason(code: int, reason: str) -> None:
    async with serving() as (flow, port), connected(port) as peer:
        connected_event = (await flow.get("events")).payload
        await in_thread(peer.connection.close, code, reason)
        event = (await flow.get("events")).payload
        assert event == {**connected_event, "event": "disconnected", "code": code, "reason": reason}


async def test_a_client_that_vanishes_is_1006() -> None:
    async with serving() as (flow, port), connected(port) as peer:
        await flow.get("events")
        await in_thread(peer.connection.socket.shutdown, socket.SHUT_RDWR)
        assert (await flow.get("events")).payload["code"] == 1006


async def test_fragments_pings_and_subprotocols() -> None:
    async with serving(max_send_frame=1000) as (flow, port), connected(port) as peer:
        await peer.send(iter(["a", "b", "c"]))
        message = await flow.get("out")
        assert message.payload == "abc"
        assert await in_thread(peer.connection.ping(b"?").wait, 5)
        await flow.put("in", message.with_payload("ä" * 5000))
        parts = await in_thread(lambda: list(peer.connection.recv_streaming()))
        assert len(parts) == 10
        assert "".join(parts) == "ä" * 5000


async def test_a_message_too_large_and_broken_text_are_closed() -> None:
    async with serving(max_receive_message=1000) as (flow, port):
        async with connected(port) as peer:
            await peer.send("x" * 1001)
            assert (await peer.closed())[0] == 1009
        async with connected(port) as peer:
            await in_thread(lambda: peer.connection.send(b"\xff", text=True))
            assert (await peer.closed())[0] == 1007
        codes = []
        while len(codes) < 2:
            event = (await flow.get("events")).payload
            if event["event"] == "disconnected":
                codes.append(event["code"])
        assert codes == [1009, 1007]


async def test_stop_says_1001_to_everybody() -> None:
    async with serving() as (flow, port), connected(port) as a, connected(port) as b:
        for _ in range(2):
            await flow.get("events")
        report = await flow.stop()
        assert (await a.closed())[0] == 1001
        assert (await b.closed())[0] == 1001
    assert report["ledger"]["in_flight"] == 0


async def test_wrong_path_and_too_many() -> None:
    async with serving(path="/live", max_connections=1) as (flow, port):
        assert flow.status("ws").text.endswith("/live")
        assert await in_thread(refused, f"ws://127.0.0.1:{port}/other") == 404
        async with connected(port, "/live?x=1") as peer:
            await peer.send("x")
            await flow.get("out")
            assert await in_thread(refused, f"ws://127.0.0.1:{port}/live") == 503


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), b"400"),
        (b"SSH-2.0-x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", b"405"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\nUpgrade: \xff\r\n\r\n", b"426"),
    ],
)
async def test_garbage_is_answered_at_once(data: bytes, status: bytes) -> None:
    async with serving(handshake_timeout=60) as (flow, port):
        with trio.fail_after(10):
            answer = await in_thread(exchange, port, data)
        assert answer.startswith(b"HTTP/1.1 " + status)
        async with connected(port) as peer:
            await peer.send("still here")
            assert (await flow.get("out")).payload == "still here"
        assert flow.status("ws").state is State.RUNNING


async def test_dead_handshakes_are_bounded() -> None:
    async with serving(handshake_timeout=0.2) as (flow, port):
        for data in (b"", b"GET / HTTP/1.1\r\nHost:"):
            assert await in_thread(exchange, port, data) == b""
        assert flow.status("ws").state is State.RUNNING


async def test_garbage_after_the_handshake_is_a_protocol_error() -> None:
    async with serving() as (flow, port), connected(port) as peer:
        await in_thread(peer.connection.socket.sendall, b"\xff" * 50)
        assert (await peer.closed())[0] == 1002
        await flow.get("events")
        assert (await flow.get("events")).payload["code"] == 1002


async def test_a_silent_client_is_given_up() -> None:
    options = {"keepalive_interval": 0.2, "keepalive_timeout": 0.2, "close_timeout": 0.1}
    async with serving(**options) as (flow, port):
        answer = await in_thread(exchange, port, REQUEST)
        assert answer.startswith(b"HTTP/1.1 101 ")
        await flow.get("events")
        event = (await flow.get("events")).payload
        assert (event["event"], event["code"]) == ("disconnected", 1006)
        assert "ping" in event["reason"]


@pytest.mark.parametrize("policy", ["drop", "close"])
async def test_a_slow_client_does_not_stall_the_others(policy: str) -> None:
    async with (
        serving(send_queue="64KB", slow_client=policy, close_timeout=0.1) as (flow, port),
        connected(port, max_queue=1) as slow,
        connected(port) as quick,
    ):
        ids = []
        for peer in (slow, quick):
            await peer.send("hello")
            ids.append((await flow.get("out")).headers["connection"])
        # What the kernel takes for the slow one, and its send queue, is filled by the first megabytes.
        for number in range(400):
            text = f"{number} {'x' * 50_000}"
            await flow.put("in", Message(text, headers={"connection": ids[1]}))
            assert str(await quick.recv()) == text
            flow.put_soon("in", Message(text, headers={"connection": ids[0]}))
        if policy == "close":
            while (event := (await flow.get("events")).payload)["event"] == "connected":
                pass
            assert (event["connection"], event["code"]) == (ids[0], 1008)
        report = flow.report()
        assert report["nodes"]["ws"]["rejected"] > 0
        assert report["nodes"]["ws"]["restarts"] == 0


async def test_wait_loses_nothing_for_a_slow_client() -> None:
    async with (
        serving(send_queue="64KB", slow_client="wait") as (flow, port),
        connected(port, max_queue=1) as slow,
    ):
        await slow.send("hello")
        await flow.get("out")
        for number in range(300):
            flow.put_soon("in", Message(f"{number} {'x' * 50_000}"))
        for number in range(300):
            assert str(await slow.recv()).startswith(f"{number} ")
        await flow.wait_settled()
        assert flow.report()["ledger"]["confirmed"] >= 300


async def test_an_echo_of_many_messages_keeps_their_order() -> None:
    flow_value = flow_of()
    flow_value["wires"] = [["ws", "ws"], ["in", "out"], ["ws.connection", "events"]]

    def pump(port: int) -> list[str | bytes]:
        with connect_sync(f"ws://127.0.0.1:{port}", compression=None, max_queue=None) as peer:
            for number in range(2000):
                peer.send(f"{number}")
            return [peer.recv(10) for _ in range(2000)]

    with trio.fail_after(30):
        async with run_flow(flow_value) as flow:
            await flow.wait_running()
            assert await in_thread(pump, port_of(flow)) == [f"{n}" for n in range(2000)]
            report = await flow.stop()
    assert report["ledger"]["sources"]["ws"]["rejected"] == 0


async def test_a_second_server_on_the_port_waits() -> None:
    async with serving() as (flow, port):
        async with run_flow(flow_of(port=port)) as second:
            status = await second.wait_code("ws", "ws.address_in_use")
            assert str(port) in status.text
        assert flow.status("ws").state is State.RUNNING


async def test_an_address_of_another_machine() -> None:
    with trio.fail_after(10):
        async with run_flow(flow_of(host="192.0.2.1")) as flow:
            await flow.wait_code("ws", "ws.bind_address_invalid")


# ---- TLS


@pytest.fixture
def self_signed(tmp_path: Path) -> Path:
    """A folder with server.pem, which is its own authority, and server.key, for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "server.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return tmp_path


async def test_wss(self_signed: Path) -> None:
    tls = {"cert": str(self_signed / "server.pem"), "key": str(self_signed / "server.key")}
    trusting = ssl.create_default_context(cafile=str(self_signed / "server.pem"))
    async with serving(tls=tls, handshake_timeout=1) as (flow, port):
        assert "wss://" in flow.status("ws").text
        async with connected(port, ssl=trusting) as peer:
            await peer.send("x" * 100_000)
            message = await flow.get("out")
            assert message.payload == "x" * 100_000
            reply = message.with_payload(b"y" * 100_000).with_headers(content_type="binary")
            await flow.put("in", reply)
            assert await peer.recv() == b"y" * 100_000
        assert b"HTTP" not in await in_thread(exchange, port, b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLCertVerificationError):
            await in_thread(refused, f"wss://127.0.0.1:{port}")
        assert flow.status("ws").state is State.RUNNING


async def test_client_and_server_of_flowbus(self_signed: Path) -> None:
    cert = str(self_signed / "server.pem")
    tls = {"cert": cert, "key": str(self_signed / "server.key")}
    async with serving(tls=tls) as (server, port):
        url = f"wss://127.0.0.1:{port}/x"
        value = {
            "nodes": {
                "in": {"type": "test-source"},
                "ws": {"type": "websocket-client", "url": url, "tls": {"ca": cert}},
                "out": {"type": "test-sink"},
            },
            "wires": [["in", "ws"], ["ws", "out"]],
        }
        async with run_flow(value) as client:
            await client.wait_running()
            for size in (0, 125, 126, 65_535, 65_536):
                await client.put("in", Message("x" * size))
                message = await server.get("out")
                assert message.payload == "x" * size
                reply = message.with_payload(b"y" * size).with_headers(content_type="binary")
                await server.put("in", reply)
                assert (await client.get("out")).payload == b"y" * size
            await client.stop()


async def test_a_verbose_log_tells_who_comes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(LEVELS["verbose"], "flowbus_websocket")
    async with serving() as (flow, port):
        async with connected(port, "/line") as peer:
            name = (await flow.get("events")).payload["connection"]
            await in_thread(peer.connection.close, 4001, "lunch")
        assert (await flow.get("events")).payload["event"] == "disconnected"
    told = [r.getMessage() for r in caplog.records if r.levelno == LEVELS["verbose"]]
    assert [text.startswith(f"ws: {name} has ") for text in told] == [True, True]
    assert told[0].endswith(" for /line")
    assert told[1].endswith("4001 lunch")
