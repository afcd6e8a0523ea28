"""paho as an engine: what it relies on, and what paho gets wrong and the engine mends."""

from __future__ import annotations

import importlib.metadata
import inspect
import re

import paho.mqtt.client as paho_client
import pytest
from flowbus_mqtt.engine import Connected, Dismissed, Engine, Granted, Refused, reason_of
from flowbus_mqtt.paho import PRIVATE_MEMBERS, PahoClient
from flowbus_mqtt.protocol.encoder import PublishEncoder, encode_ack
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet, Puback, Publish, Version
from flowbus_mqtt.protocol.properties import encode_properties
from flowbus_mqtt.protocol.topics import TopicError
from flowbus_mqtt.settings import Settings
from hypothesis import given
from hypothesis import strategies as st


def connected(version: Version = Version.V5, **properties: object) -> Engine:
    engine = Engine(Settings(client_id="me", version=version))
    engine.connect()
    (event,) = engine.receive(connack(version, **properties))
    assert isinstance(event, Connected)
    return engine


def connack(version: Version, code: int = 0, **properties: object) -> bytes:
    if version == Version.V311:
        return bytes((0x20, 2, 0, code))
    block = encode_properties(properties)
    return bytes((0x20, 3 + len(block), 0, code, len(block))) + block


class TestContractWithPaho:
    def test_the_release(self) -> None:
        assert importlib.metadata.version("paho-mqtt").startswith("2.2.")

    @pytest.mark.parametrize("name", PRIVATE_MEMBERS)
    def test_every_private_member_exists(self, name: str) -> None:
        assert hasattr(paho_client.Client(paho_client.CallbackAPIVersion.VERSION2), name)

    def test_no_other_private_member_is_used(self) -> None:
        source = inspect.getsource(inspect.getmodule(PahoClient))  # type: ignore[arg-type]
        used = set(re.findall(r"(?:self|super\(\))\.(_[a-z]\w*)", source)) - {"_next_id"}
        assert used <= set(PRIVATE_MEMBERS)

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("_create_socket", ["self"]),
            ("_mid_generate", ["self"]),
            ("_handle_pubrec", ["self"]),
            ("_do_on_publish", ["self", "mid", "reason_code", "properties"]),
        ],
    )
    def test_what_is_overridden_takes_the_same_arguments(self, name: str, parameters: list[str]) -> None:
        assert list(inspect.signature(getattr(paho_client.Client, name)).parameters) == parameters

    def test_paho_asks_for_its_socket_and_its_identifiers_there(self) -> None:
        assert "self._create_socket()" in inspect.getsource(paho_client.Client.reconnect)
        assert "self._mid_generate()" in inspect.getsource(paho_client.Client._send_subscribe)
        assert "self._handle_pubrec()" in inspect.getsource(paho_client.Client._packet_handle)


@pytest.mark.parametrize("version", list(Version))
def test_limits_of_the_broker(version: Version) -> None:
    engine = Engine(Settings(client_id="me", version=version, keepalive=30))
    engine.connect()
    given = {"receive_maximum": 7, "maximum_packet_size": 2**32 - 1, "server_keep_alive": 5,
             "assigned_client_identifier": "you", "maximum_qos": 1, "retain_available": 0,
             "topic_alias_maximum": 3}  # fmt: skip
    (event,) = engine.receive(connack(version, **(given if version == Version.V5 else {})))
    assert isinstance(event, Connected)
    limits = event.limits
    if version == Version.V5:
        assert (limits.receive_maximum, limits.max_packet_size, limits.keepalive) == (7, 2**32 - 1, 5)
        assert (limits.client_id, limits.maximum_qos, limits.retain_available) == ("you", 1, False)
    else:
        assert (limits.receive_maximum, limits.keepalive, limits.client_id) == (65_535, 30, "me")


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_every_return_code_of_3_1_1_is_a_refusal(code: int) -> None:
    engine = Engine(Settings(client_id="me", version=Version.V311))
    engine.connect()
    assert engine.receive(connack(Version.V311, code)) == [Refused(reason_of(code), code)]


@pytest.mark.parametrize("code", [0x80, 0x84, 0x86, 0x87, 0x9F, 0xFE])
def test_every_reason_of_5_is_a_refusal(code: int) -> None:
    engine = Engine(Settings(client_id="me"))
    engine.connect()
    assert engine.receive(connack(Version.V5, code, reason_string="why")) == [Refused(code, code, "why")]


def test_a_broker_of_3_1_1_refuses_a_client_of_5_without_properties() -> None:
    engine = Engine(Settings(client_id="me"))
    engine.connect()
    assert engine.receive(bytes.fromhex("20020001")) == [Refused(0x84, 1)]


@pytest.mark.parametrize("data", ["9003000100", "d000", "200100", "20020000" * 2])
def test_nonsense_instead_of_connack(data: str) -> None:
    engine = Engine(Settings(client_id="me", version=Version.V311))
    engine.connect()
    assert isinstance(engine.receive(bytes.fromhex(data))[-1], ProtocolError)


@pytest.mark.parametrize("data", ["9000", "900100", "b000", "f000", "500100"])
def test_a_malformed_control_packet_is_an_error(data: str) -> None:
    assert isinstance(connected().receive(bytes.fromhex(data))[-1], ProtocolError)


def test_no_identifier_is_used_twice() -> None:
    engine = connected(Version.V311)
    subscribe_id, _ = engine.subscribe([("a", 0)])
    for _ in range(65_534):
        engine.publish("a", b"", 1)
    assert len(engine.unacked) == 65_534
    assert subscribe_id not in engine.unacked
    with pytest.raises(RuntimeError, match="every packet identifier"):
        engine.publish("a", b"", 1)
    (granted,) = engine.receive(bytes.fromhex("9003") + subscribe_id.to_bytes(2, "big") + b"\x01")
    assert granted == Granted(subscribe_id, (1,))
    engine.publish("a", b"", 1)
    assert subscribe_id in engine.unacked


@pytest.mark.parametrize("version", list(Version))
def test_qos_0_takes_no_identifier(version: Version) -> None:
    engine = connected(version)
    for _ in range(70_000):
        engine.publish("a", b"", 0)
    engine.publish("a", b"", 1, token="mine")
    assert engine.unacked == {1: "mine"}


@pytest.mark.parametrize("version", list(Version))
def test_qos_2_out(version: Version) -> None:
    engine = connected(version)
    engine.publish("a", b"x", 2, token="mine")
    assert engine.receive(encode_ack(Kind.PUBREC, 1)) == []
    assert engine.answers() == encode_ack(Kind.PUBREL, 1)
    assert engine.receive(encode_ack(Kind.PUBCOMP, 1)) == [Puback(1)]


def test_a_qos_2_message_that_pubrec_refuses_has_its_reason() -> None:
    engine = connected()
    engine.publish("a", b"x", 2)
    assert engine.receive(encode_ack(Kind.PUBREC, 1, 0x97)) == [Puback(1, 0x97)]
    assert engine.answers() == b"", "no PUBREL follows"


def test_qos_2_in_comes_when_it_is_released_with_its_properties() -> None:
    engine = connected()
    block = encode_properties({"user_property": [("a", "b")]})
    packet = PublishEncoder(Version.V5).encode("a", b"x", 2, False, 9, False, block)
    assert engine.receive(packet) == []
    assert engine.answers() == encode_ack(Kind.PUBREC, 9)
    (publish,) = engine.receive(encode_ack(Kind.PUBREL, 9))
    assert publish == Publish("a", b"x", 2, 9, properties=block)
    assert isinstance(publish, Publish)
    assert engine.acknowledge(publish) == encode_ack(Kind.PUBCOMP, 9)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("topic", ["", "a\0b", "a/+"])
def test_a_bad_topic_never_goes_out(topic: str, qos: int) -> None:
    engine = connected()
    with pytest.raises(TopicError):
        engine.publish(topic, b"", qos)
    assert engine.unacked == {}


def test_a_reason_is_told_in_5_only() -> None:
    publish = Publish("a", b"", 1, 5)
    assert connected(Version.V5).acknowledge(publish, 0x80).hex() == "4003000580"
    assert connected(Version.V311).acknowledge(publish, 0x80).hex() == "40020005"


def test_disconnect_of_the_broker_with_its_reason() -> None:
    block = encode_properties({"reason_string": "go"})
    data = bytes((0xE0, 2 + len(block), 0x8E, len(block))) + block
    assert connected().receive(data) == [Dismissed(0x8E, "go")]


def test_disconnect_without_anything_is_a_normal_one() -> None:
    assert connected().receive(bytes.fromhex("e000")) == [Dismissed(0)]


def test_disconnect_goes_out_with_a_reason_in_5_only() -> None:
    assert connected(Version.V5).disconnect(0x95).hex() == "e00195"
    assert connected(Version.V311).disconnect(0x95).hex() == "e000"


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=30)), max_size=5), st.sampled_from(list(Version)))
def test_garbage_of_a_broker_gives_events_and_nothing_else(packets: list[tuple[int, bytes]], version: Version) -> None:
    engine = connected(version)
    engine.publish("a", b"", 1)
    engine.publish("a", b"", 2)
    engine.subscribe([("a", 1)])
    for first, body in packets:
        events = engine.receive(Packet(first, body).encode())
        engine.answers()
        if any(isinstance(event, ProtocolError | Dismissed) for event in events):
            break
