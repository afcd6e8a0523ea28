"""The connection and its nodes against mosquitto and its own programs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import paho.mqtt.client as paho
import pytest
import trio

from flowbus import Config, Message, NodeIO, Outcome, State, io_node
from flowbus.testing import run_flow

pytestmark = pytest.mark.system

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
QOS = pytest.mark.parametrize("qos", [0, 1])


def flow_of(url: str, *, out: dict[str, Any] | None = None, sub: dict[str, Any] | None = None, **connection: Any) -> dict[str, Any]:
    """A flow that publishes from ``in`` and receives into ``got``."""
    nodes: dict[str, Any] = {
        "in": {"type": "test-source"},
        "out": {"type": "mqtt-out", "connection": "broker", **(out or {})},
    }
    wires = [["in", "out"]]
    if sub is not None:
        nodes["sub"] = {"type": "mqtt-in", "connection": "broker", **sub}
        nodes["got"] = {"type": "test-sink"}
        wires.append(["sub", "got"])
    return {
        "connections": {"broker": {"type": "mqtt", "url": url, **connection}},
        "nodes": nodes,
        "wires": wires,
    }


@VERSIONS
@QOS
async def test_out_and_in(mosquitto: Any, subscribed: Any, version: str, qos: int) -> None:
    flow_file = flow_of(
        mosquitto().url, version=version,
        out={"topic": "plant/{topic}", "qos": qos}, sub={"topics": ["plant/#"], "qos": qos},
    )  # fmt: skip
    with trio.fail_after(20):
        async with run_flow(flow_file) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            for payload, wanted in [(b"\x00\xff", b"\x00\xff"), ("ä", "ä".encode()), ({"a": [1]}, b'{"a":[1]}'), (1.5, b"1.5"), ("", b"")]:
                assert (await flow.put("in", Message(payload, "a/b"))).outcome is Outcome.CONFIRMED
                message = await flow.get("got")
                assert (message.payload, message.topic) == (wanted, "plant/a/b")
                assert message.headers == {"qos": qos, "retain": False}
            assert f"MQTT {version}" in flow.status("broker").text
            await flow.wait_settled()
            assert flow.report()["ledger"]["in_flight"] == 0


@VERSIONS
@QOS
async def test_mosquitto_sub_receives_what_is_published(mosquitto: Any, tool: Any, version: str, qos: int) -> None:
    peer = mosquitto()
    flow_file = flow_of(peer.url, version=version, out={"topic": "a", "qos": qos, "retain": True})
    with trio.fail_after(20):
        async with run_flow(flow_file) as flow:
            await flow.wait_running()
            await flow.put("in", Message("retained"))
        got = await tool("mosquitto_sub", peer.port, "-t", "a", "-C", "1", "-W", "10", "-q", str(qos))
        assert got == b"retained\n"


@VERSIONS
@QOS
async def test_mosquitto_pub_reaches_in(mosquitto: Any, tool: Any, subscribed: Any, version: str, qos: int) -> None:
    peer = mosquitto()
    flow_file = flow_of(peer.url, version=version, sub={"topics": ["a/+", "b"], "qos": qos, "payload_format": "json"})
    with trio.fail_after(20):
        async with run_flow(flow_file) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            for pub_qos in ("0", "1", "2"):
                await tool("mosquitto_pub", peer.port, "-t", "a/x", "-m", '{"v": 7}', "-q", pub_qos)
                message = await flow.get("got")
                assert message.payload == {"v": 7}
                assert message.headers["qos"] == min(qos, int(pub_qos))
            await tool("mosquitto_pub", peer.port, "-t", "b", "-m", "{no json", "-q", str(qos))
            await tool("mosquitto_pub", peer.port, "-t", "b", "-m", "1", "-q", str(qos))
            assert (await flow.get("got")).payload == 1, "what is no JSON is reported and skipped"


async def test_user_properties_are_headers(mosquitto: Any, tool: Any, subscribed: Any) -> None:
    peer = mosquitto()
    with trio.fail_after(20):
        async with run_flow(flow_of(peer.url, sub={"topics": ["a"]})) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            await tool(
                "mosquitto_pub", peer.port, "-V", "5", "-t", "a", "-m", "x",
                "-D", "publish", "user-property", "unit", "mm", "-D", "publish", "content-type", "text/plain",
            )  # fmt: skip
            headers = (await flow.get("got")).headers
            assert headers["user"] == {"unit": "mm"}
            assert headers["content_type"] == "text/plain"


async def test_plain_paho_receives_what_is_published(mosquitto: Any) -> None:
    peer = mosquitto()
    got: list[tuple[str, bytes, int]] = []
    ready = trio.Event()
    token = trio.lowlevel.current_trio_token()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: token.run_sync_soon(ready.set)
    client.on_message = lambda c, u, m: token.run_sync_soon(got.append, (m.topic, m.payload, m.qos))
    client.connect("127.0.0.1", peer.port)
    client.subscribe("a/#", 1)
    client.loop_start()
    try:
        with trio.fail_after(20):
            await ready.wait()
            async with run_flow(flow_of(peer.url, out={"qos": 1})) as flow:
                await flow.wait_running()
                for number in range(500):
                    flow.put_soon("in", Message(number, f"a/{number % 7}"))
                while len(got) < 500:
                    await trio.sleep(0.01)
                await flow.wait_settled()
        assert [payload for _, payload, _ in got] == [str(number).encode() for number in range(500)]
        assert {qos for _, _, qos in got} == {1}
    finally:
        client.disconnect()
        client.loop_stop()


async def test_two_nodes_share_a_connection(mosquitto: Any, tool: Any) -> None:
    peer = mosquitto()
    value = flow_of(peer.url, out={"topic": "one", "retain": True})
    value["nodes"]["other"] = {"type": "mqtt-out", "connection": "broker", "topic": "two", "qos": 1, "retain": True}
    value["wires"].append(["in", "other"])
    with trio.fail_after(20):
        async with run_flow(value) as flow:
            await flow.wait_running()
            assert (await flow.put("in", Message("x"))).outcome is Outcome.CONFIRMED
            for topic in ("one", "two"):
                assert await tool("mosquitto_sub", peer.port, "-t", topic, "-C", "1", "-W", "5") == b"x\n"


async def test_two_nodes_subscribe_to_the_same_topic(mosquitto: Any, tool: Any, subscribed: Any) -> None:
    peer = mosquitto()
    value = flow_of(peer.url, sub={"topics": ["a"], "qos": 1})
    value["nodes"]["sub2"] = {"type": "mqtt-in", "connection": "broker", "topics": ["+"], "qos": 1}
    value["nodes"]["got2"] = {"type": "test-sink"}
    value["wires"].append(["sub2", "got2"])
    with trio.fail_after(20):
        async with run_flow(value) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            await subscribed(flow, "sub2")
            await tool("mosquitto_pub", peer.port, "-t", "a", "-m", "x", "-q", "1")
            assert (await flow.get("got")).payload == (await flow.get("got2")).payload == b"x"
            await flow.wait_settled()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_bad_credentials_are_named(mosquitto: Any, tmp_path: Any, version: str) -> None:
    peer = mosquitto("allow_anonymous false\n")
    flow_file = flow_of(peer.url, version=version, username="joe", password="wrong-password")
    with trio.fail_after(20):
        async with run_flow(flow_file) as flow:
            status = await flow.wait_state("broker", State.WAITING)
            assert status.code in ("mqtt.0x86", "mqtt.0x87")
            assert "'joe'" in status.text
            assert "wrong-password" not in status.text


async def test_auto_takes_the_older_version_where_5_is_refused(mosquitto: Any) -> None:
    nodes = {"in": {"type": "test-source"}, "broker": {"type": "mqtt-broker", "port": 0}}
    with trio.fail_after(20):
        async with run_flow({"nodes": nodes, "wires": [["in", "broker"]]}) as server:
            await server.wait_running()
            url = "mqtt://" + server.status("broker").text
            async with run_flow(flow_of(url)) as flow:
                await flow.wait_running()
                assert "MQTT 3.1.1" in flow.status("broker").text
            async with run_flow(flow_of(url, version="5")) as flow:
                assert (await flow.wait_state("broker", State.WAITING)).code == "mqtt.0x84"


async def test_tls(mosquitto: Any, certificates: Any, subscribed: Any) -> None:
    peer = mosquitto(
        f"allow_anonymous true\ncertfile {certificates.cert}\nkeyfile {certificates.key}\n"
    )
    url = f"mqtts://127.0.0.1:{peer.port}"
    flow_file = flow_of(url, tls={"ca": str(certificates.ca)}, out={"qos": 1}, sub={"topics": ["a"]})
    with trio.fail_after(20):
        async with run_flow(flow_file) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            big = b"x" * 300_000
            assert (await flow.put("in", Message(big, "a"))).outcome is Outcome.CONFIRMED
            assert (await flow.get("got")).payload == big
        async with run_flow(flow_of(url)) as flow:
            status = await flow.wait_state("broker", State.WAITING)
            assert status.code in ("mqtt.tls_unknown_ca", "mqtt.tls_self_signed")
        async with run_flow(flow_of(url, tls={"ca": str(certificates.ca), "server_name": "other"})) as flow:
            assert (await flow.wait_state("broker", State.WAITING)).code == "mqtt.tls_cn_mismatch"
        async with run_flow(flow_of(f"mqtt://127.0.0.1:{peer.port}", connect_timeout=2.0)) as flow:
            status = await flow.wait_state("broker", State.WAITING)
            assert status.code in ("mqtt.closed_at_once", "mqtt.bad_packet", "mqtt.connection_lost")


async def test_tls_to_a_port_that_has_none(mosquitto: Any) -> None:
    peer = mosquitto()
    with trio.fail_after(20):
        async with run_flow(flow_of(f"mqtts://127.0.0.1:{peer.port}", connect_timeout=2.0)) as flow:
            status = await flow.wait_state("broker", State.WAITING)
            assert status.code.startswith(("mqtt.tls_", "mqtt.connection_lost"))


async def test_nobody_listens_and_then_somebody_does(mosquitto: Any) -> None:
    peer = mosquitto()
    peer.kill()
    with trio.fail_after(20):
        async with run_flow(flow_of(peer.url, out={"qos": 1})) as flow:
            status = await flow.wait_code("broker", "mqtt.connection_refused")
            assert str(peer.port) in status.text
            flow.put_soon("in", Message("x", "a"))
            peer.start()
            await flow.wait_running()
            await flow.wait_settled()
            assert flow.report()["ledger"]["confirmed"] == 1


async def test_an_unknown_host() -> None:
    with trio.fail_after(20):
        async with run_flow(flow_of("mqtt://no-such-host.invalid")) as flow:
            status = await flow.wait_state("broker", State.WAITING)
            assert status.code == "mqtt.host_not_found"


async def test_a_killed_broker_costs_no_message(mosquitto: Any, subscribed: Any) -> None:
    peer = mosquitto()
    count = 3000
    flow_file = flow_of(peer.url, out={"qos": 1}, sub={"topics": ["a"], "qos": 1})
    with trio.fail_after(60):
        async with run_flow(flow_file) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            for number in range(count):
                flow.put_soon("in", Message(number, "a"))
            first = await flow.get("got")
            peer.kill()
            await flow.wait_state("broker", State.WAITING)
            peer.start()
            await flow.wait_settled()
            ledger = flow.report()["ledger"]["sources"]["in"]
            assert ledger["confirmed"] == count
            assert first.payload == b"0"
            assert flow.report()["connections"]["broker"]["restarts"] >= 1


async def test_a_stopped_broker_is_noticed_and_memory_is_bounded(mosquitto: Any) -> None:
    peer = mosquitto()
    flow_file = flow_of(peer.url, keepalive=2, out={"topic": "a"})
    with trio.fail_after(30):
        async with run_flow(flow_file) as flow:
            await flow.wait_running()
            peer.signal(signal.SIGSTOP)
            for _ in range(20_000):
                flow.put_soon("in", Message(b"x" * 1000, "a"))
            status = await flow.wait_code("broker", "mqtt.keepalive_timeout")
            assert "silent" in status.text
            wire = flow.report()["wires"][0]
            assert wire["passed"] < 20_000, "the rest waits in the wire and before it"
            peer.signal(signal.SIGCONT)
            await flow.wait_settled()


class _NoOptions(Config):
    """None."""


def holder(taken: Callable[[], None]) -> Any:
    @io_node("hold", outlets=())
    async def hold(config: _NoOptions, io: NodeIO) -> None:
        """Take messages and never end them."""
        held = []
        while True:
            held.append(await io.take())
            taken()

    return hold


@VERSIONS
async def test_only_a_message_without_an_end_stays_unacknowledged(mosquitto: Any, tool: Any, subscribed: Any, version: str) -> None:
    peer = mosquitto()
    taken = trio.Event()
    lasting = partial(flow_of, peer.url, version=version, client_id="edge", clean_start=False)
    value = lasting(sub={"topics": ["a", "b"], "qos": 1})
    value["nodes"]["sub"]["payload_format"] = "text"
    value["nodes"]["hold"] = {"type": "hold"}
    value["nodes"]["route"] = {"type": "only-b"}
    value["wires"] = [["in", "out"], ["sub", "route"], ["route", "got"], ["route.held", "hold"]]

    @io_node("only-b", outlets=("out", "held"))
    async def only_b(config: _NoOptions, io: NodeIO) -> None:
        """Let b pass."""

        async def handle(message: Message) -> dict[str, Message]:
            return {"out" if message.topic == "b" else "held": message}

        await io.each(handle)

    with trio.fail_after(30):
        async with run_flow(value, [holder(taken.set), only_b], drain=0.1) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            await tool("mosquitto_pub", peer.port, "-t", "a", "-m", "held", "-q", "1")
            await taken.wait()
            await tool("mosquitto_pub", peer.port, "-t", "b", "-m", "passed", "-q", "1")
            assert (await flow.get("got")).payload == "passed"
        async with run_flow(lasting(sub={"topics": ["a", "b"], "qos": 1, "payload_format": "text"})) as flow:
            assert (await flow.get("got")).payload == "held"
            await flow.wait_settled()
            assert flow.got("got") == []


async def test_a_full_flow_stops_the_broker_and_loses_nothing(mosquitto: Any, tool: Any, subscribed: Any) -> None:
    peer = mosquitto("allow_anonymous true\nmax_queued_messages 0\n")
    go = trio.Event()
    got: list[bytes] = []

    @io_node("slow", outlets=())
    async def slow(config: _NoOptions, io: NodeIO) -> None:
        """Wait, then take."""

        async def handle(message: Message) -> None:
            await go.wait()
            got.append(message.payload)

        await io.each(handle)

    value = flow_of(peer.url, receive_maximum=10, out={"qos": 1, "topic": "a"}, sub={"topics": ["a"], "qos": 1})
    value["nodes"]["got"] = {"type": "slow"}
    with trio.fail_after(30):
        async with run_flow(value, [slow]) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
            ends = 0
            for number in range(1000):
                end = await flow.put("in", Message(number))
                ends += end.outcome is Outcome.CONFIRMED
            assert ends == 1000, "a paused input does not delay what is published"
            assert flow.report()["ledger"]["in_flight"] <= 10
            go.set()
            while len(got) < 1000:
                await trio.sleep(0.01)
        assert got == [str(number).encode() for number in range(1000)]


async def test_a_lasting_session_with_much_in_store_starts_well(mosquitto: Any, tool: Any, subscribed: Any) -> None:
    """The broker sends what it kept before it answers SUBSCRIBE: more than is read in advance."""
    peer = mosquitto("allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n")
    count = 3000
    lasting = partial(flow_of, peer.url, version="3.1.1", client_id="edge", clean_start=False)
    with trio.fail_after(30):
        async with run_flow(lasting(sub={"topics": ["#"], "qos": 1})) as flow:
            await flow.wait_running()
            await subscribed(flow, "sub")
        async with run_flow(flow_of(peer.url, out={"qos": 1})) as flow:
            await flow.wait_running()
            for number in range(count):
                flow.put_soon("in", Message(number, "a"))
            await flow.wait_settled()
            while flow.report()["ledger"]["confirmed"] < count:
                await trio.sleep(0.01)
        async with run_flow(lasting(sub={"topics": ["#"], "qos": 1})) as flow:
            for number in range(count):
                assert (await flow.get("got")).payload == str(number).encode()


async def test_a_filter_that_the_broker_refuses_is_named(mosquitto: Any) -> None:
    nodes = {"in": {"type": "test-source"}, "broker": {"type": "mqtt-broker", "port": 0}}
    with trio.fail_after(20):
        async with run_flow({"nodes": nodes, "wires": [["in", "broker"]]}) as server:
            await server.wait_running()
            url = "mqtt://" + server.status("broker").text
            async with run_flow(flow_of(url, sub={"topics": ["$share/group/a"]})) as flow:
                status = await flow.wait_code("sub", "mqtt.0x80")
                assert "$share/group/a" in status.text
            async with run_flow(flow_of(url, sub={"topics": ["$share/group/a", "b"]})) as flow:
                assert (await flow.wait_state("sub", State.DEGRADED)).code == "mqtt.0x80"


async def test_a_message_that_is_too_large_is_refused_before_the_wire(mosquitto: Any) -> None:
    peer = mosquitto("allow_anonymous true\nmax_packet_size 2000\n")
    with trio.fail_after(20):
        async with run_flow(flow_of(peer.url, out={"qos": 1})) as flow:
            await flow.wait_running()
            end = await flow.put("in", Message(b"x" * 2000, "a"))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "mqtt.0x95")
            assert (await flow.put("in", Message(b"x", "a"))).outcome is Outcome.CONFIRMED


async def test_a_topic_that_the_broker_forbids_rejects_with_its_reason(mosquitto: Any, tmp_path: Any) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite open/#\n")
    peer = mosquitto(f"allow_anonymous true\nacl_file {acl}\n")
    with trio.fail_after(20):
        async with run_flow(flow_of(peer.url, out={"qos": 1})) as flow:
            await flow.wait_running()
            end = await flow.put("in", Message(b"x", "closed/a"))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "mqtt.0x87")
            assert (await flow.put("in", Message(b"x", "open/a"))).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("message", [Message("x"), Message("x", "a/+"), Message("x", "a\0"), Message(object(), "a"), Message("\ud800", "a")])
async def test_a_bad_message_is_rejected_and_the_node_goes_on(mosquitto: Any, message: Message) -> None:
    with trio.fail_after(20):
        async with run_flow(flow_of(mosquitto().url, out={"qos": 1})) as flow:
            await flow.wait_running()
            end = await flow.put("in", message)
            assert end.outcome is Outcome.REJECTED
            assert end.code in ("mqtt.bad_topic", "mqtt.bad_payload")
            assert (await flow.put("in", Message(b"x", "a"))).outcome is Outcome.CONFIRMED


async def test_the_will_is_published_when_the_flow_dies_and_not_when_it_stops(mosquitto: Any, tool: Any) -> None:
    peer = mosquitto()
    will = {"topic": "will", "payload": "gone", "retain": True}
    with trio.fail_after(20):
        async with run_flow(flow_of(peer.url, will=will)) as flow:
            await flow.wait_running()
            await flow.stop()
        command = ["mosquitto_sub", "-p", str(peer.port), "-t", "will", "-C", "1", "-W", "1"]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.stdout == b""
        async with run_flow(flow_of(peer.url, will=will, client_id="same")) as flow:
            await flow.wait_running()
            await tool("mosquitto_pub", peer.port, "-i", "same", "-t", "x", "-m", "x")
            assert await tool("mosquitto_sub", peer.port, "-t", "will", "-C", "1", "-W", "5") == b"gone\n"
