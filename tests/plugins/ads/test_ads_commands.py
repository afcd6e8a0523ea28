"""Requests and answers, single and sum: both ways, and cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flowbus_ads.protocol import commands, sums
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.protocol.notifications import (
    build_stream,
    filetime_to_ns,
    ns_to_filetime,
    parse_stream,
)
from flowbus_ads.protocol.symbols import (
    SymbolEntry,
    SymbolFlag,
    UploadInfo,
    encode_entry,
    encode_upload_info,
    parse_entry,
    parse_table,
    parse_upload_info,
)
from flowbus_ads.protocol.typeentries import Bound
from hypothesis import given
from hypothesis import strategies as st

U32 = st.integers(0, 0xFFFFFFFF)
LENGTH = st.integers(0, 300)
DATA = st.binary(max_size=60)
NAME = st.text(st.characters(codec="cp1252", exclude_characters="\0"), max_size=40)


@given(U32, U32, U32, DATA)
def test_single_requests(group: int, offset: int, length: int, data: bytes) -> None:
    assert commands.parse_read_request(commands.read_request(group, offset, length)) == (
        group, offset, length,
    )  # fmt: skip
    assert commands.parse_write_request(commands.write_request(group, offset, data)) == (
        group, offset, data,
    )  # fmt: skip
    both = commands.read_write_request(group, offset, length, data)
    assert commands.parse_read_write_request(both) == (group, offset, length, data)
    spec = commands.NoteSpec(group, offset, length, 4, 1, 2)
    assert commands.parse_add_note_request(commands.add_note_request(spec)) == spec


def test_an_error_answer_may_come_without_a_value() -> None:
    assert commands.parse_read_response(commands.result_response(0x710)) == (0x710, b"")
    with pytest.raises(ProtocolError):
        commands.parse_read_response(commands.result_response(0))


def test_device_info_and_state() -> None:
    info = commands.DeviceInfo("Plc30 App", 3, 1, 4024)
    result, rest = commands.split_result(commands.device_info_response(info))
    assert (result, commands.parse_device_info(rest)) == (0, info)
    result, rest = commands.split_result(commands.state_response(5, 1))
    assert commands.parse_state(rest) == (5, 1)
    assert commands.parse_control_request(commands.control_request(6, 2, b"x")) == (6, 2, b"x")


@given(st.lists(st.tuples(U32, U32, LENGTH), max_size=20), st.data())
def test_sum_read(items: list[sums.ReadItem], data: st.DataObject) -> None:
    request = sums.sum_read_request(items)
    assert sums.parse_sum_read_request(len(items), request) == items
    results = [(0, data.draw(st.binary(min_size=n, max_size=n))) for _, _, n in items]
    answer = sums.sum_read_response(results, items)
    assert len(answer) == sums.sum_read_length(items)
    assert sums.parse_sum_read_response(answer, items) == results


def test_a_failed_item_of_a_sum_read_keeps_its_room() -> None:
    items = [(1, 0, 4), (2, 0, 2), (3, 0, 1)]
    answer = sums.sum_read_response([(0, b"abcd"), (0x710, b""), (0, b"z")], items)
    results = sums.parse_sum_read_response(answer, items)
    assert (results[0], results[1][0], results[2]) == ((0, b"abcd"), 0x710, (0, b"z"))


@given(st.lists(st.tuples(U32, U32, DATA), max_size=20))
def test_sum_write(items: list[sums.WriteItem]) -> None:
    assert sums.parse_sum_write_request(len(items), sums.sum_write_request(items)) == items


@given(st.lists(st.tuples(U32, U32, LENGTH, DATA), max_size=20))
def test_sum_read_write(items: list[sums.ReadWriteItem]) -> None:
    request = sums.sum_read_write_request(items)
    assert sums.parse_sum_read_write_request(len(items), request) == items


@given(st.lists(st.tuples(U32, DATA), max_size=20))
def test_sized_answers(results: list[sums.Result]) -> None:
    assert sums.parse_sized_response(sums.sized_response(results), len(results)) == results


@given(st.lists(st.tuples(U32, U32), max_size=20))
def test_sum_notifications(pairs: list[tuple[int, int]]) -> None:
    assert sums.parse_pairs_response(sums.pairs_response(pairs), len(pairs)) == pairs
    handles = tuple(handle for _, handle in pairs)
    request = sums.sum_delete_note_request(handles)
    assert sums.parse_sum_delete_note_request(len(handles), request) == handles
    specs = [commands.NoteSpec(*pair, 4, 3, 2, 1) for pair in pairs]
    assert sums.parse_sum_add_note_request(len(specs), sums.sum_add_note_request(specs)) == specs


SAMPLES = st.lists(
    st.tuples(
        st.integers(0, 2**63), st.lists(st.tuples(U32, DATA), max_size=4)
    ),
    max_size=5,
)  # fmt: skip


@given(SAMPLES)
def test_notification_stream(stamps: list[tuple[int, list[tuple[int, bytes]]]]) -> None:
    expected = [(time, handle, value) for time, rows in stamps for handle, value in rows]
    assert parse_stream(build_stream(stamps)) == expected


@given(st.permutations([b"", b"a", b"bb", b"cccc", bytes(8), bytes(20)]), st.integers(1, 2))
def test_notification_streams_of_one_length_and_other_sizes(values: list[bytes], stamps: int) -> None:
    rows = [(handle, value) for handle, value in enumerate(values)]
    stream = [(time, rows) for time in range(stamps)]
    expected = [(time, *row) for time in range(stamps) for row in rows]
    for _ in range(2):  # the second time its sizes may be known
        assert parse_stream(build_stream(stream)) == expected


def test_a_stream_whose_length_is_known_may_hold_more_than_one_stamp() -> None:
    one = build_stream([(5, [(1, bytes(30)), (2, bytes(12))])])
    two = build_stream([(5, [(1, bytes(30))]), (6, [(2, b"")])])
    assert len(one) == len(two)
    for _ in range(2):
        assert parse_stream(one) == [(5, 1, bytes(30)), (5, 2, bytes(12))]
        assert parse_stream(two) == [(5, 1, bytes(30)), (6, 2, b"")]


def test_filetime() -> None:
    assert filetime_to_ns(116_444_736_000_000_000) == 0
    assert filetime_to_ns(ns_to_filetime(1_700_000_000_123_456_700)) == 1_700_000_000_123_456_700


ATTRIBUTES = st.lists(st.tuples(NAME, NAME), max_size=3).map(tuple)
BOUNDS = st.lists(st.builds(Bound, st.integers(-(2**31), 2**31 - 1), U32), max_size=3).map(tuple)


@given(NAME, NAME, NAME, U32, U32, U32, U32, st.integers(0, 0xFF7), BOUNDS, ATTRIBUTES)
def test_symbol_entry(
    name: str, kind: str, comment: str, group: int, offset: int, size: int, type_id: int, flags: int,
    bounds: tuple[Bound, ...], attributes: tuple[tuple[str, str], ...],
) -> None:  # fmt: skip
    flags = flags & ~SymbolFlag.GUID | (SymbolFlag.ATTRIBUTES if attributes else 0)
    entry = SymbolEntry(
        name, kind, group, offset, size, type_id, flags, comment, bounds, attributes
    )
    data = encode_entry(entry)
    assert parse_entry(data) == (entry, len(data))
    assert list(parse_table(data * 3, 3)) == [entry] * 3


@pytest.mark.parametrize("extended", [False, True])
def test_upload_info(extended: bool) -> None:
    info = UploadInfo(3, 400)
    data = encode_upload_info(info, extended=extended)
    assert parse_upload_info(data) == info
    assert len(data) == (24 if extended else 8)


ENTRY = encode_entry(SymbolEntry("MAIN.n", "DINT", 0x4040, 8, 4, 3, 8, "count"))
WHOLE: list[tuple[Callable[[bytes], Any], bytes]] = [
    (commands.parse_read_request, commands.read_request(1, 2, 3)),
    (commands.parse_write_request, commands.write_request(1, 2, b"abc")),
    (commands.parse_read_write_request, commands.read_write_request(1, 2, 3, b"abc")),
    (lambda data: sums.parse_sum_read_request(2, data), sums.sum_read_request([(1, 2, 3)] * 2)),
    (
        lambda data: sums.parse_sum_write_request(2, data),
        sums.sum_write_request([(1, 2, b"x")] * 2),
    ),
    (lambda data: sums.parse_sized_response(data, 2), sums.sized_response([(0, b"ab"), (1, b"c")])),
    (lambda data: sums.parse_sum_read_response(data, [(1, 2, 3)]), b"\0\0\0\0abc"),
    (parse_stream, build_stream([(1, [(2, b"abc")]), (3, [(4, b"d")])])),
    (parse_entry, ENTRY),
    (parse_upload_info, encode_upload_info(UploadInfo(1, 2), extended=False)),
]


@pytest.mark.parametrize(("parse", "data"), WHOLE)
def test_what_is_cut_short_is_refused(parse: Callable[[bytes], Any], data: bytes) -> None:
    parse(data)
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            parse(data[:end])
