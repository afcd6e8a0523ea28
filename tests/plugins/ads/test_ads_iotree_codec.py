"""Questions to an I/O server and its masters: numbers, answers both ways, words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from flowbus_ads.protocol import iostates, iotree
from flowbus_ads.protocol.address import format_net_id
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.iotree import Crc, Frames, Identity, Question, States
from hypothesis import given
from hypothesis import strategies as st

U8, U16, U32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))


@given(st.lists(U16, max_size=50))
def test_ids_and_addresses_come_back(numbers: list[int]) -> None:
    assert iotree.device_ids(len(numbers)).parse(iotree.encode_device_ids(numbers)) == numbers
    assert iotree.slave_addresses(len(numbers)).parse(iotree.encode_addresses(numbers)) == numbers


@given(st.builds(Identity, U32, U32, U32, U32), st.builds(Crc, U32, U32, U32, U32))
def test_identity_and_crc_come_back(identity: Identity, crc: Crc) -> None:
    assert iotree.slave_identity(1001).parse(iotree.encode_identity(identity)) == identity
    assert iotree.slave_crc(1001).parse(iotree.encode_crc(crc)) == crc


@given(st.builds(Frames, U32, U32, U32, U32, U32))
def test_frame_counters_come_back_and_wrap(frames: Frames) -> None:
    assert iotree.parse_frames(iotree.encode_frames(frames)) == frames
    above = Frames(*[number + (1 << 32) for number in frames])
    assert iotree.parse_frames(iotree.encode_frames(above)) == frames


@given(st.lists(st.builds(States, U8, U8), max_size=50), st.lists(U32, max_size=50))
def test_states_and_sums_come_back(states: list[States], sums: list[int]) -> None:
    assert iotree.slave_states(len(states)).parse(iotree.encode_states(states)) == states
    assert iotree.crc_sums(len(sums)).parse(iotree.encode_sums(sums)) == sums


@given(st.text(st.characters(codec="cp1252", exclude_characters="\0"), max_size=30), st.binary(max_size=5))
def test_a_text_ends_at_its_nul(text: str, rest: bytes) -> None:
    assert iotree.parse_text(text.encode("cp1252") + b"\0" + rest) == text.strip()


QUESTIONS = [
    iotree.device_count(), iotree.device_ids(2), iotree.device_type(1), iotree.device_net_id(1),
    iotree.master_state(), iotree.slave_count(), iotree.frame_counters(), *iotree.master_identity(),
    iotree.slave_addresses(2), iotree.slave_states(2), iotree.crc_sums(2), iotree.slave_identity(1001),
    iotree.slave_crc(1001),
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.what)
def test_every_question_gets_an_answer_of_its_length_and_refuses_a_short_one(question: Question) -> None:
    length = question.item[2]
    question.parse(b"\2\0" + bytes(length - 2))
    for short in range(1 if length < 4 else 2):
        with pytest.raises(ProtocolError):
            question.parse(bytes(short))


@given(st.sampled_from(QUESTIONS), st.binary(max_size=40))
def test_garbage_is_refused_or_read_and_never_breaks(question: Question, data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        question.parse(data)


@pytest.mark.parametrize(
    ("question", "item"),
    [
        # The numbers that CATio asks with (its messages.py).
        (iotree.device_count(), (0x5000, 2, 4)),
        (iotree.device_ids(3), (0x5000, 1, 8)),
        (iotree.device_name(2), (0x5002, 1, 255)),
        (iotree.device_net_id(2), (0x5002, 5, 6)),
        (iotree.device_type(2), (0x5002, 7, 2)),
        (iotree.master_state(), (0x3, 0x100, 2)),
        (iotree.slave_count(), (0x6, 0, 2)),
        (iotree.slave_addresses(40), (0x7, 0, 80)),
        (iotree.slave_states(40), (0x9, 0, 80)),
        (iotree.frame_counters(), (0xC, 0, 20)),
        (iotree.slave_identity(1001), (0x11, 1001, 16)),
        (iotree.crc_sums(40), (0x12, 0, 160)),
        (iotree.slave_crc(1001), (0x12, 1001, 16)),
        (iotree.master_identity()[3], (0xF302, 0x10180004, 4)),
        (iotree.slave_type(5, 1006), (0xF302, 0x80050002, 16)),
        (iotree.slave_name(5, 1006), (0xF302, 0x80050003, 32)),
    ],
)
def test_the_numbers_on_the_wire(question: Question, item: tuple[int, int, int]) -> None:
    assert question.item == item


def test_a_terminal_may_have_fewer_ports_than_four() -> None:
    assert iotree.parse_crc(b"\1\0\0\0\2\0\0\0") == Crc(1, 2, 0, 0)
    with pytest.raises(ProtocolError, match="5 bytes are no counters"):
        iotree.parse_crc(bytes(5))


def test_a_list_that_announces_more_ids_than_it_has_is_refused() -> None:
    with pytest.raises(ProtocolError, match="2 bytes came, at least 4"):
        iotree.parse_device_ids(b"\2\0\1\0")


@pytest.mark.parametrize(
    ("words", "number", "text"),
    [
        (iostates.state_words, 8, "OP"),
        (iostates.state_words, 0, "INIT"),
        (iostates.state_words, 1, "INIT"),
        (iostates.state_words, 0x14, "SAFEOP, error"),
        (iostates.state_words, 0x61, "INIT, wrong identity, init command failed"),
        (iostates.state_words, 0x80, "INIT, disabled"),
        (iostates.state_words, 7, "unknown (7)"),
        (iostates.link_words, 0, "ok"),
        (iostates.link_words, 0x01, "not present"),
        (iostates.link_words, 0x24, "missing link, port b"),
        (iostates.type_words, 94, "EtherCAT"),
        (iostates.type_words, 111, "EtherCAT"),
        (iostates.type_words, 9, "type 9"),
    ],
)
def test_words(words: Callable[[int], Any], number: int, text: str) -> None:
    assert words(number) == text


def test_a_net_id_is_dotted() -> None:
    assert iotree.parse_dotted(bytes((5, 1, 2, 3, 4, 1))) == format_net_id(bytes((5, 1, 2, 3, 4, 1)))
