"""Options: what the flow file may say, and what it is told where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from flowbus_mqtt.dial import Address, parse_url
from flowbus_mqtt.faults import FAULTS, fault_of
from flowbus_mqtt.payload import decoder_for, encode_payload, headers_of
from flowbus_mqtt.protocol.packets import Publish, Version
from flowbus_mqtt.protocol.properties import encode_properties

from flowbus import Rejected
from flowbus.testing import run_flow


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://plc", Address("plc", 1883, False)),
        ("mqtts://plc", Address("plc", 8883, True)),
        ("mqtt://127.0.0.1:18/", Address("127.0.0.1", 18, False)),
        ("mqtt://[::1]:18", Address("::1", 18, False)),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert parse_url(url) == address


async def problems_of(connection: dict[str, Any] | None = None, nodes: dict[str, Any] | None = None) -> str:
    value = {
        "connections": {"broker": {"type": "mqtt", "url": "mqtt://x", **(connection or {})}},
        "nodes": {"in": {"type": "test-source"}, "out": {"type": "mqtt-out", "connection": "broker"}, **(nodes or {})},
        "wires": [["in", "out"]],
    }
    with pytest.raises(Exception) as caught:  # noqa: PT011  the text is what counts
        async with run_flow(value):
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "http://x"}, "must begin with mqtt:// or mqtts://"),
        ({"url": "mqtt://"}, "names no host"),
        ({"url": "mqtt://u:p@x"}, "username and password"),
        ({"url": "mqtt://x:99999"}, "no URL"),
        ({"url": "mqtt://x:0"}, "port 0"),
        ({"url": "mqtt://x/path"}, "after the port"),
        ({"tls": {}}, "mqtts://"),
        ({"password": "p"}, "without username"),
        ({"version": "4"}, "version"),
        ({"keepalive": 0}, "keepalive"),
        ({"keepalive": True}, "keepalive"),
        ({"receive_maximum": 0}, "receive_maximum"),
        ({"max_packet_size": 10}, "1024 bytes at least"),
        ({"will": {"topic": "a/#"}}, "wildcard"),
        ({"will": {"topic": "a", "payload": "x" * 65_536}}, "65535"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"client_id": "a\0"}, "NUL"),
        ({"username": "x" * 65_536}, "bytes at most"),
        ({"username": "x", "password": "x" * 65_536}, "65535 bytes"),
        ({"user": "x"}, "username"),
    ],
)
async def test_a_wrong_connection_is_told_what_is_wrong(options: dict[str, Any], why: str) -> None:
    assert why in await problems_of(options)


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"type": "mqtt-in", "connection": "broker", "topics": []}, "topics"),
        ({"type": "mqtt-in", "connection": "broker", "topics": ["a", "b#"]}, "topics[1]"),
        ({"type": "mqtt-in", "connection": "broker", "topics": ["a"], "qos": 2}, "qos"),
        ({"type": "mqtt-out", "connection": "broker", "topic": "{nothing}"}, "unknown template gap"),
        ({"type": "mqtt-out", "connection": "other"}, "other"),
        ({"type": "mqtt-broker", "forward": ["a#"]}, "forward[0]"),
        ({"type": "mqtt-broker", "max_packet_size": 1}, "1024 bytes at least"),
    ],
)
async def test_a_wrong_node_is_told_what_is_wrong(node: dict[str, Any], why: str) -> None:
    assert why in await problems_of(nodes={"wrong": node})


def test_settings_of_the_two_sessions() -> None:
    from flowbus_mqtt.connection import Mqtt

    config = Mqtt(url="mqtt://x", clean_start=False)
    publishing = config.settings("plant")
    receiving = config.receiving(publishing)
    assert publishing.client_id.startswith("flowbus-")
    assert publishing.client_id.endswith("-plant")
    assert (publishing.version, publishing.clean_start, publishing.session_expiry) == (Version.V5, True, 0)
    assert receiving.client_id == publishing.client_id + "-in"
    assert (receiving.clean_start, receiving.session_expiry) == (False, 86_400)
    assert publishing == config.settings("plant"), "the default client id is stable"


def test_every_reason_code_has_an_entry_and_no_code_is_twice() -> None:
    codes = [fault.code for fault in FAULTS]
    assert len(codes) == len(set(codes))
    for reason in range(0x80, 0xA3):
        assert fault_of(reason) in FAULTS
        assert fault_of(reason).number == reason
    assert "mqtt.0x05" in fault_of(0x87).aliases
    assert fault_of(0xF0).code == "mqtt.0xf0"
    for fault in FAULTS:
        assert fault.name
        assert fault.cause.endswith(".")
        assert fault.next_step.endswith(".")


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        (b"\xff", b"\xff"), (bytearray(b"a"), b"a"), (memoryview(b"a"), b"a"), ("ä", "ä".encode()),
        (None, b"null"), (True, b"true"), (1, b"1"), ({"a": None}, b'{"a":null}'), ([], b"[]"),
    ],
)  # fmt: skip
def test_payloads(payload: object, encoded: bytes) -> None:
    assert encode_payload(payload) == encoded


@pytest.mark.parametrize("payload", [object(), {1: 2}, "\ud800", 2**70])
def test_a_payload_that_cannot_be_written_is_rejected(payload: object) -> None:
    with pytest.raises(Rejected) as caught:
        encode_payload(payload)
    assert caught.value.fault.code == "mqtt.bad_payload"


def test_payload_formats() -> None:
    text, json = decoder_for("text"), decoder_for("json")
    assert decoder_for("bytes") is None
    assert text is not None
    assert json is not None
    assert text("ä".encode()) == "ä"
    assert json(b"[1]") == [1]
    for decode in (text, json):
        with pytest.raises(ValueError, match=r"."):
            decode(b"\xff")


def test_headers() -> None:
    assert headers_of(Publish("a", b"", 1, 1, True)) == {"qos": 1, "retain": True}
    block = encode_properties({"response_topic": "r", "user_property": [("a", "1"), ("a", "2")]})
    assert headers_of(Publish("a", b"", properties=block)) == {
        "qos": 0, "retain": False, "response_topic": "r", "user": {"a": "2"}
    }  # fmt: skip
    assert "does not exist" in headers_of(Publish("a", b"", properties=b"\x7f"))["properties_error"]
