from __future__ import annotations

import contextlib

import pytest
from flowbus_mqtt.protocol.errors import ProtocolError
from flowbus_mqtt.protocol.properties import decode_properties, encode_properties
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "payload_format_indicator": st.integers(0, 1),
        "message_expiry_interval": st.integers(0, 2**32 - 1),
        "content_type": TEXT,
        "response_topic": TEXT,
        "correlation_data": st.binary(max_size=30),
        "subscription_identifier": st.lists(st.integers(1, 268_435_455), min_size=1, max_size=3),
        "topic_alias": st.integers(1, 65_535),
        "user_property": st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3),
    },
)


@given(BLOCKS)
def test_what_is_encoded_is_decoded(properties: dict[str, object]) -> None:
    assert decode_properties(encode_properties(properties)) == properties


@given(st.binary(max_size=60))
def test_garbage_is_decoded_or_refused(block: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_properties(block)


def test_paho_reads_it() -> None:
    block = encode_properties({"content_type": "text/plain", "user_property": [("a", "b"), ("a", "c")]})
    properties = Properties(PacketTypes.PUBLISH)
    properties.unpack(bytes([len(block)]) + block)
    assert properties.ContentType == "text/plain"
    assert properties.UserProperty == [("a", "b"), ("a", "c")]


@pytest.mark.parametrize(
    ("block", "why"),
    [("7f", "does not exist"), ("0100 0100".replace(" ", ""), "twice"), ("02000000", "cut off"),
     ("030005aa", "cut off"), ("030001ff", "UTF-8")],
)  # fmt: skip
def test_a_broken_block_says_what_is_wrong(block: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode_properties(bytes.fromhex(block))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no property 'colour'"):
        encode_properties({"colour": 1})
