"""The server's side of MQTT 3.1.1, against paho's client and against garbage."""

from __future__ import annotations

import contextlib

import pytest
from flowbus_mqtt.engine import Engine
from flowbus_mqtt.protocol import server
from flowbus_mqtt.protocol.decoder import Decoder
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet, Version
from flowbus_mqtt.settings import LastWill, Settings
from hypothesis import given
from hypothesis import strategies as st


def one_packet(data: bytes) -> Packet:
    (packet,) = Decoder(Version.V311).feed(data)
    assert isinstance(packet, Packet)
    return packet


def connect_bytes(**more: object) -> bytes:
    return Engine(Settings(client_id="me", version=Version.V311, **more)).connect()  # type: ignore[arg-type]


def test_what_paho_says_in_connect() -> None:
    will = LastWill(topic="gone", payload=b"bye", qos=1, retain=True)
    data = connect_bytes(username="u", password="p", will=will, keepalive=7, clean_start=False)
    assert server.decode_client_packet(one_packet(data)) == server.Connect(
        4, "me", False, 7, server.Will("gone", b"bye", 1, True), "u", b"p"
    )


def test_a_plain_connect() -> None:
    connect = server.decode_client_packet(one_packet(connect_bytes()))
    assert connect == server.Connect(4, "me", True, 30)


def test_a_connect_of_5_is_known_by_its_level_alone() -> None:
    data = Engine(Settings(client_id="me")).connect()
    assert server.decode_client_packet(one_packet(data)) == server.Connect(5)


def test_every_strict_prefix_of_connect_is_refused() -> None:
    body = one_packet(connect_bytes(username="u", password="p")).body
    for length in range(len(body)):
        with pytest.raises(ProtocolError):
            server.decode_client_packet(Packet(Kind.CONNECT, body[:length]))


@given(st.sampled_from(list(Kind)), st.integers(0, 15), st.binary(max_size=60))
def test_garbage_is_decoded_or_refused(kind: Kind, flags: int, body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        server.decode_client_packet(Packet(kind | flags, body))


@pytest.mark.parametrize(
    ("first", "body", "why"),
    [
        (0x10, "00044d515454 04 01 0000 0000", "reserved flag"),
        (0x10, "00044d515454 04 08 0000 0000", "will that it does not have"),
        (0x10, "00044d515454 04 1e 0000 0000", "QoS 3"),
        (0x10, "00044d515454 04 42 0000 0000", "without a user name"),
        (0x10, "00044d515454 04 02 0000 0000 00", "bytes too many"),
        (0x10, "0003585858 04 02 0000 0000", "not MQTT"),
        (0x10, "00044d515454 04 06 0000 0000 0001 2b 0000", "wildcard"),
        (0x11, "", "flags"),
        (0x82, "0001", "too short"),
        (0x82, "0001 000161 03", "QoS 3"),
        (0x82, "0000 000161 01", "identifier of a SUBSCRIBE packet is 0"),
        (0xA2, "0001", "too short"),
        (0xC0, "00", "bytes too many"),
        (0x20, "0000", "must not send"),
        (0x80, "0001 000161 01", "flags"),
    ],
)
def test_a_broken_packet_says_what_is_wrong(first: int, body: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        server.decode_client_packet(Packet(first, bytes.fromhex(body)))


def test_subscribe_of_paho_and_a_bad_filter() -> None:
    engine = Engine(Settings(client_id="me", version=Version.V311))
    engine.connect()
    packet_id, data = engine.subscribe([("a/#", 1), ("b", 2)])
    assert server.decode_client_packet(one_packet(data)) == server.Subscribe(packet_id, [("a/#", 1), ("b", 2)])
    bad = Packet(0x82, bytes.fromhex("0001 0003 612f2b 00 0002 6123 01"))
    assert server.decode_client_packet(bad) == server.Subscribe(1, [("a/+", 0), (None, 1)])


def test_the_answers_byte_by_byte() -> None:
    assert server.encode_connack(server.ACCEPTED, True).hex() == "20020100"
    assert server.encode_connack(server.REFUSED_CREDENTIALS).hex() == "20020004"
    assert server.encode_suback(258, [0, 1, 0x80]).hex() == "9005010200 0180".replace(" ", "")
    assert server.encode_unsuback(258).hex() == "b0020102"
