"""The data path: what the encoder writes and the decoder reads, whole, in pieces and broken."""

from __future__ import annotations

import itertools

import pytest
from flowbus_mqtt.protocol.decoder import Decoder, Event
from flowbus_mqtt.protocol.encoder import PublishEncoder, encode_ack
from flowbus_mqtt.protocol.errors import PACKET_TOO_LARGE, TOPIC_ALIAS_INVALID, ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet, Puback, Publish, Version
from flowbus_mqtt.protocol.topics import TopicError
from hypothesis import given
from hypothesis import strategies as st

VERSIONS = st.sampled_from(list(Version))
TOPICS = st.text(
    st.characters(blacklist_characters="+#\0", blacklist_categories=["Cs"]), min_size=1, max_size=40
)


@st.composite
def publishes(draw: st.DrawFn, version: Version) -> Publish:
    qos = draw(st.integers(0, 2))
    return Publish(
        draw(TOPICS),
        draw(st.binary(max_size=300)),
        qos,
        draw(st.integers(1, 65_535)) if qos else 0,
        draw(st.booleans()),
        draw(st.booleans()) if qos else False,
        draw(st.binary(max_size=200)) if version == Version.V5 else b"",
    )


@st.composite
def packets(draw: st.DrawFn, version: Version) -> tuple[Event, bytes]:
    kind = draw(st.sampled_from(["publish", "puback", "other"]))
    if kind == "publish":
        publish = draw(publishes(version))
        return publish, encode(version, publish)
    if kind == "puback":
        packet_id = draw(st.integers(1, 65_535))
        reason = draw(st.sampled_from([0, 0x10, 0x87])) if version == Version.V5 else 0
        return Puback(packet_id, reason), encode_ack(Kind.PUBACK, packet_id, reason)
    first = draw(st.sampled_from([k for k in Kind if k not in (Kind.PUBLISH, Kind.PUBACK)]))
    packet = Packet(first | draw(st.integers(0, 15)), draw(st.binary(max_size=300)))
    return packet, packet.encode()


def encode(version: Version, p: Publish) -> bytes:
    return PublishEncoder(version).encode(
        p.topic, p.payload, p.qos, p.retain, p.packet_id, p.dup, p.properties
    )


@given(st.data(), VERSIONS)
def test_any_cut_of_the_stream_gives_the_same_events(data: st.DataObject, version: Version) -> None:
    made = data.draw(st.lists(packets(version), max_size=6))
    stream = b"".join(encoded for _, encoded in made)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    decoder = Decoder(version)
    events: list[Event] = []
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        events += decoder.feed(stream[start:end])
    assert events == [event for event, _ in made]


@given(st.data(), VERSIONS)
def test_a_strict_prefix_of_a_packet_is_no_packet(data: st.DataObject, version: Version) -> None:
    _, encoded = data.draw(packets(version))
    for length in range(len(encoded)):
        assert Decoder(version).feed(encoded[:length]) == []


@given(st.lists(st.binary(max_size=40), max_size=10), VERSIONS)
def test_garbage_ends_in_at_most_one_error(chunks: list[bytes], version: Version) -> None:
    decoder = Decoder(version, 10_000)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    broken = [event for event in events if isinstance(event, ProtocolError)]
    assert len(broken) <= 1
    assert broken == events[-1:] or not broken


@given(st.binary(max_size=60), st.integers(0, 15), VERSIONS)
def test_a_publish_of_garbage_is_decoded_or_refused(body: bytes, flags: int, version: Version) -> None:
    (event,) = Decoder(version).feed(Packet(Kind.PUBLISH | flags, body).encode())
    assert isinstance(event, Publish | ProtocolError)


def test_byte_by_byte() -> None:
    made = Publish("a/b", b"x" * 200, 1, 7)
    decoder = Decoder(Version.V311)
    events = [event for byte in encode(Version.V311, made) * 2 for event in decoder.feed(bytes([byte]))]
    assert events == [made, made]


@pytest.mark.parametrize("length", [127, 128, 16_383, 16_384, 70_000])
def test_properties_of_any_length(length: int) -> None:
    made = Publish("a", b"payload", 1, 9, properties=b"p" * length)
    assert Decoder(Version.V5).feed(encode(Version.V5, made)) == [made]


@pytest.mark.parametrize("length", [125, 126, 16_380, 16_381, 2_097_149, 2_097_150])
def test_payloads_around_each_length_of_the_length(length: int) -> None:
    made = Publish("a", b"p" * (length - 3))
    encoded = encode(Version.V311, made)
    decoder = Decoder(Version.V311)
    pieces = [encoded[at : at + 65_536] for at in range(0, len(encoded), 65_536)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == [made]


def test_a_packet_over_the_limit_is_refused_before_it_came() -> None:
    start = encode(Version.V311, Publish("a", b"x" * 5000))[:3]
    (error,) = Decoder(Version.V311, max_packet=1000).feed(start)
    assert isinstance(error, ProtocolError)
    assert error.reason == PACKET_TOO_LARGE
    assert "5006 bytes" in error.text


def test_a_packet_of_just_the_limit_passes() -> None:
    encoded = encode(Version.V311, Publish("a", b"x" * 500))
    assert len(Decoder(Version.V311, max_packet=len(encoded)).feed(encoded)) == 1


@pytest.mark.parametrize(
    ("version", "encoded", "why"),
    [
        (Version.V311, "3000", "too short for its topic"),
        (Version.V311, "30020005", "too short for its topic"),
        (Version.V311, "30020000", "empty topic"),
        (Version.V5, "3003000000", "topic alias"),
        (Version.V311, "36050001610001", "QoS 3"),
        (Version.V311, "3205000161 0000", "identifier is 0"),
        (Version.V311, "320400016100", "too short for its packet identifier"),
        (Version.V5, "30040001 6105", "too short for its properties"),
        (Version.V5, "3003000161", "cut off"),
        (Version.V311, "3003 0001ff", "not UTF-8"),
        (Version.V311, "3003 00012b", "forbids"),
        (Version.V311, "3003 000100", "forbids"),
        (Version.V311, "4000", "0 bytes"),
        (Version.V311, "4003000100", "3 bytes"),
        (Version.V311, "40020000", "identifier is 0"),
        (Version.V311, "30ffffffff7f", "longer than 4 bytes"),
    ],
)
def test_a_broken_packet_says_what_is_wrong(version: Version, encoded: str, why: str) -> None:
    *_, error = Decoder(version).feed(bytes.fromhex(encoded))
    assert isinstance(error, ProtocolError)
    assert why in error.text


def test_what_came_before_a_broken_packet_counts_and_nothing_after_it() -> None:
    decoder = Decoder(Version.V311)
    good = encode_ack(Kind.PUBACK, 1)
    ack, error = decoder.feed(good + bytes.fromhex("4000") + good)
    assert ack == Puback(1)
    assert isinstance(error, ProtocolError)
    assert decoder.feed(good) == []


def test_an_alias_that_was_not_offered_has_its_reason() -> None:
    (error,) = Decoder(Version.V5).feed(bytes.fromhex("3003000000"))
    assert isinstance(error, ProtocolError)
    assert error.reason == TOPIC_ALIAS_INVALID


def test_many_topics_do_not_grow_the_cache() -> None:
    encoder, decoder = PublishEncoder(Version.V311), Decoder(Version.V311)
    for number in range(10_000):
        decoder.feed(encoder.encode(f"topic/{number}", b""))
    assert len(encoder._topics) <= 4096
    assert len(decoder._topics) <= 4096


def test_a_bad_topic_is_not_encoded() -> None:
    with pytest.raises(TopicError):
        PublishEncoder(Version.V5).encode("a/#", b"")


def test_what_no_packet_can_hold_is_refused() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 268_435_456

    with pytest.raises(ValueError, match="longer than MQTT allows"):
        PublishEncoder(Version.V5).encode("a", Huge())
