"""The simulated PLC without a network: requests in, answers and due notifications out."""

from __future__ import annotations

from typing import Any

import pytest
from flowbus_ads.plc.behaviours import Behaviour, SymbolOptions
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol import commands, sums
from flowbus_ads.protocol.address import ams_address, parse_net_id
from flowbus_ads.protocol.ams import Frame, FrameReader
from flowbus_ads.protocol.constants import REQUEST, RESPONSE, Command, ErrorCode, Group, TransMode
from flowbus_ads.protocol.notifications import parse_stream
from flowbus_ads.protocol.symbols import parse_entry, parse_table, parse_upload_info
from flowbus_ads.protocol.typeentries import parse_type, parse_types
from hypothesis import given
from hypothesis import strategies as st

TARGET = ams_address(parse_net_id("5.1.2.3.1.1"), 851)
SOURCE = ams_address(parse_net_id("127.0.0.1.1.1"), 33000)


def ask(plc: SimulatedPlc, command: int, data: bytes, target: bytes = TARGET) -> Frame:
    answer = plc.answer(1, Frame(target, SOURCE, command, REQUEST, 0, 77, data))
    (frame,) = FrameReader().feed(answer)
    assert (frame.target, frame.source, frame.invoke_id) == (SOURCE, target, 77)
    assert frame.flags == RESPONSE
    return frame


def read(plc: SimulatedPlc, group: int, offset: int, length: int) -> tuple[int, bytes]:
    data = commands.read_request(group, offset, length)
    return commands.parse_read_response(ask(plc, Command.READ, data).data)


def write(plc: SimulatedPlc, group: int, offset: int, value: bytes) -> int:
    data = commands.write_request(group, offset, value)
    return commands.split_result(ask(plc, Command.WRITE, data).data)[0]


def both(
    plc: SimulatedPlc, group: int, offset: int, length: int, value: bytes
) -> tuple[int, bytes]:
    data = commands.read_write_request(group, offset, length, value)
    return commands.parse_read_response(ask(plc, Command.READ_WRITE, data).data)


def handle(plc: SimulatedPlc, name: str) -> int:
    result, data = both(plc, Group.SYM_HANDLE_BY_NAME, 0, 4, name.encode() + b"\0")
    assert result == 0
    return int.from_bytes(data, "little")


def note(plc: SimulatedPlc, spec: commands.NoteSpec) -> int:
    answer = ask(plc, Command.ADD_NOTIFICATION, commands.add_note_request(spec))
    result, rest = commands.split_result(answer.data)
    assert result == 0
    return commands.parse_u32(rest, "handle")


def samples(plc: SimulatedPlc, now: float) -> list[tuple[int, int, bytes]]:
    found = []
    for _, data in plc.notes.due(plc.memory, now, round(now * 1000)):
        (frame,) = FrameReader().feed(data)
        assert (frame.command, frame.target, frame.source) == (Command.NOTIFICATION, SOURCE, TARGET)
        found += parse_stream(frame.data)
    return found


def test_values_by_handle_by_name_and_by_index(plc: SimulatedPlc) -> None:
    key = handle(plc, "main.NCOUNT")
    assert read(plc, Group.SYM_VALUE_BY_HANDLE, key, 4) == (0, b"\7\0\0\0")
    assert write(plc, Group.SYM_VALUE_BY_HANDLE, key, b"\x09\0\0\0") == 0
    assert both(plc, Group.SYM_VALUE_BY_NAME, 0, 4, b"MAIN.nCount\0") == (0, b"\x09\0\0\0")
    place = plc.memory.find("MAIN.nCount")
    assert place is not None
    assert read(plc, place.group, place.offset, 4) == (0, b"\x09\0\0\0")
    assert plc.writes == [("MAIN.nCount", 9)]


def test_a_write_by_index_names_the_symbols_it_touches(plc: SimulatedPlc) -> None:
    place = plc.memory.find("MAIN.aValues")
    assert place is not None
    assert write(plc, place.group, place.offset + 2, b"\x63\0") == 0
    assert plc.writes == [("MAIN.aValues", [1, 99, 3, 4])]


def test_array_elements_have_names(plc: SimulatedPlc) -> None:
    key = handle(plc, "MAIN.aValues[-1]")
    assert read(plc, Group.SYM_VALUE_BY_HANDLE, key, 2) == (0, b"\1\0")
    unknown = both(plc, Group.SYM_HANDLE_BY_NAME, 0, 4, b"MAIN.aValues[3]\0")
    assert unknown == (ErrorCode.SYMBOL_NOT_FOUND, b"")


@pytest.mark.parametrize(
    ("group", "offset", "length", "error"),
    [
        (Group.SYM_VALUE_BY_HANDLE, 1, 4, ErrorCode.SYMBOL_NOT_FOUND),
        (0x1234, 0, 4, ErrorCode.INVALID_GROUP),
        (Group.DATA, 1 << 30, 4, ErrorCode.INVALID_OFFSET),
        (Group.MEMORY_BIT, 1 << 30, 1, ErrorCode.INVALID_OFFSET),
    ],
)
def test_reads_that_are_refused(
    plc: SimulatedPlc, group: int, offset: int, length: int, error: ErrorCode
) -> None:
    assert read(plc, group, offset, length) == (error, b"")
    assert write(plc, group, offset, bytes(length)) == error


def test_a_write_of_a_wrong_size_is_refused(plc: SimulatedPlc) -> None:
    key = handle(plc, "MAIN.nCount")
    for value in (b"\1", bytes(5)):
        assert write(plc, Group.SYM_VALUE_BY_HANDLE, key, value) == ErrorCode.INVALID_SIZE
    assert write(plc, Group.SYM_VALUE_BY_HANDLE, handle(plc, "MAIN.sText"), b"abc\0") == 0
    assert plc.memory.value("MAIN.sText") == "abc"


def test_memory_bits(plc: SimulatedPlc) -> None:
    assert write(plc, Group.MEMORY_BIT, 11, b"\1") == 0
    assert read(plc, Group.MEMORY_BYTE, 1, 1) == (0, b"\x08")
    assert read(plc, Group.MEMORY_BIT, 11, 1) == (0, b"\1")
    assert write(plc, Group.MEMORY_BIT, 11, b"\0") == 0
    assert read(plc, Group.MEMORY_BYTE, 1, 1) == (0, b"\0")


def test_an_online_change_makes_handles_stale(plc: SimulatedPlc) -> None:
    key = handle(plc, "MAIN.nCount")
    plc.online_change(0)
    assert read(plc, Group.SYM_VALUE_BY_HANDLE, key, 4)[0] == ErrorCode.SYMBOL_VERSION_INVALID
    assert read(plc, Group.SYM_VERSION, 0, 1) == (0, b"\2")
    assert read(plc, Group.SYM_VALUE_BY_HANDLE, handle(plc, "MAIN.nCount"), 4)[0] == 0


def test_a_released_handle_is_unknown(plc: SimulatedPlc) -> None:
    key = handle(plc, "MAIN.nCount")
    assert write(plc, Group.SYM_RELEASE_HANDLE, 0, key.to_bytes(4, "little")) == 0
    assert read(plc, Group.SYM_VALUE_BY_HANDLE, key, 4)[0] == ErrorCode.SYMBOL_NOT_FOUND


def test_symbol_information_and_upload(plc: SimulatedPlc) -> None:
    result, data = both(plc, Group.SYM_INFO_BY_NAME_EX, 0, 1000, b"MAIN.aValues\0")
    entry, _ = parse_entry(data)
    assert (result, entry.type_name, entry.size) == (0, "ARRAY [-1..2] OF INT", 8)
    info = parse_upload_info(read(plc, Group.SYM_UPLOAD_INFO2, 0, 1024)[1])
    short = parse_upload_info(read(plc, Group.SYM_UPLOAD_INFO, 0, 8)[1])
    assert (info.symbols, info.symbol_bytes) == (short.symbols, short.symbol_bytes)
    table = read(plc, Group.SYM_UPLOAD, 0, info.symbol_bytes)[1]
    names = [entry.name for entry in parse_table(table, info.symbols)]
    assert names == [place.name for place in plc.memory]
    types = read(plc, Group.DATATYPE_UPLOAD, 0, info.datatype_bytes)[1]
    declared = {entry.name: entry for entry in parse_types(types, info.datatypes)}
    array = declared["ARRAY [-1..2] OF INT"]
    assert (array.type_name, array.size, array.bounds) == ("INT", 8, ((-1, 4),))
    result, data = both(plc, Group.DATATYPE_BY_NAME, 0, 1000, b"array [-1..2] of int\0")
    assert (result, parse_type(data)[0]) == (0, array)
    assert both(plc, Group.DATATYPE_BY_NAME, 0, 1000, b"NOPE\0") == (0x710, b"")
    assert both(plc, Group.DATATYPE_BY_NAME, 0, 10, b"INT\0") == (0x705, b"")


@pytest.mark.parametrize(
    ("net_id", "port", "error"),
    [("5.1.2.3.1.1", 852, 6), ("5.9.9.9.1.1", 851, 7)],
)
def test_another_address_is_refused_by_the_router(
    plc: SimulatedPlc, net_id: str, port: int, error: int
) -> None:
    frame = ask(plc, Command.READ_STATE, b"", ams_address(parse_net_id(net_id), port))
    assert (frame.error, frame.data) == (error, b"")


@pytest.mark.parametrize(
    "command", [Command.READ, Command.WRITE, Command.READ_WRITE, Command.WRITE_CONTROL]
)
def test_a_request_cut_short_gets_an_error(plc: SimulatedPlc, command: int) -> None:
    result, _ = commands.split_result(ask(plc, command, b"\1\2\3").data)
    assert result == ErrorCode.INVALID_SIZE


def test_sum_commands(plc: SimulatedPlc) -> None:
    keys = [handle(plc, name) for name in ("MAIN.nCount", "MAIN.rValue")]
    group = Group.SYM_VALUE_BY_HANDLE
    items = [(group, keys[0], 4), (group, 1, 2), (group, keys[1], 8)]
    request = sums.sum_read_request(items)
    _, data = both(plc, Group.SUM_READ, 3, sums.sum_read_length(items), request)
    results = sums.parse_sum_read_response(data, items)
    assert [code for code, _ in results] == [0, ErrorCode.SYMBOL_NOT_FOUND, 0]
    for extended in (Group.SUM_READ_EX, Group.SUM_READ_EX2):
        _, data = both(plc, extended, 3, 1000, request)
        assert sums.parse_sized_response(data, 3)[0] == (0, b"\7\0\0\0")
    writes = [(group, keys[0], b"\1\0\0\0"), (group, keys[1], b"x")]
    _, data = both(plc, Group.SUM_WRITE, 2, 8, sums.sum_write_request(writes))
    assert sums.parse_codes_response(data, 2) == (0, ErrorCode.INVALID_SIZE)


@pytest.mark.parametrize("group", range(0xF080, 0xF087))
def test_a_sum_command_cut_short_gets_an_error(plc: SimulatedPlc, group: int) -> None:
    assert both(plc, group, 5, 100, b"\1\2\3")[0] == ErrorCode.INVALID_SIZE


def test_on_change_sends_the_first_value_and_then_changes(plc: SimulatedPlc) -> None:
    key = note(plc, commands.NoteSpec(Group.SYM_VALUE_BY_HANDLE, handle(plc, "MAIN.nCount"), 4,
                                      TransMode.ON_CHANGE, 0, 100_000))  # fmt: skip
    assert samples(plc, 1.0) == [(1000, key, b"\7\0\0\0")]
    plc.memory.set("MAIN.nCount", 8)
    assert samples(plc, 1.005) == []
    assert samples(plc, 1.01) == [(1010, key, b"\x08\0\0\0")]
    assert samples(plc, 1.03) == []


def test_cyclic_sends_without_a_change(plc: SimulatedPlc) -> None:
    note(plc, commands.NoteSpec(Group.DATA, 0, 1, TransMode.CYCLIC, 0, 100_000))
    assert [len(samples(plc, now)) for now in (1.0, 1.005, 1.01, 1.02)] == [1, 0, 1, 1]


def test_max_delay_collects_samples(plc: SimulatedPlc) -> None:
    key = note(plc, commands.NoteSpec(Group.DATA, 0, 1, TransMode.CYCLIC, 250_000, 100_000))
    assert [samples(plc, now) for now in (1.0, 1.01)] == [[], []]
    assert samples(plc, 1.025) == [(1000, key, b"\1"), (1010, key, b"\1"), (1025, key, b"\1")]


def test_an_online_change_ends_notifications_with_an_empty_sample(plc: SimulatedPlc) -> None:
    key = note(
        plc, commands.NoteSpec(Group.SYM_VALUE_BY_HANDLE, handle(plc, "MAIN.nCount"), 4, 4, 0, 0)
    )
    ((owner, data),) = plc.online_change(5)
    (frame,) = FrameReader().feed(data)
    assert (owner, parse_stream(frame.data), len(plc.notes)) == (1, [(5, key, b"")], 0)


def test_a_deleted_notification_sends_nothing(plc: SimulatedPlc) -> None:
    key = note(plc, commands.NoteSpec(Group.DATA, 0, 1, TransMode.CYCLIC, 0, 0))
    data = key.to_bytes(4, "little")
    assert commands.split_result(ask(plc, Command.DELETE_NOTIFICATION, data).data)[0] == 0
    assert samples(plc, 1.0) == []
    again = commands.split_result(ask(plc, Command.DELETE_NOTIFICATION, data).data)[0]
    assert again == ErrorCode.NOTIFICATION_HANDLE_INVALID


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("LREAL", {"behaviour": "ramp", "low": 10, "high": 20}, [10, 15, 12.5]),
        ("INT", {"behaviour": "ramp", "low": 0, "high": 100}, [0, 50, 25]),
        ("BOOL", {"behaviour": "toggle", "period": 0.5}, [False, True, False]),
        ("REAL", {"behaviour": "sine", "low": -1, "high": 1}, [0, 0, 1]),
        ("SINT", {"behaviour": "counter", "period": 0.25, "value": 126}, [126, -128, -125]),
        ("DINT", {"behaviour": "echo", "of": "MAIN.x"}, [4, 4, 4]),
    ],
)
def test_behaviours(kind: str, options: dict[str, Any], expected: list[Any]) -> None:
    memory = PlcMemory()
    memory.add("MAIN.x", "INT", 4)
    symbol = SymbolOptions(type=kind, **options)
    place = memory.add("MAIN.y", kind, symbol.value)
    behaviour = Behaviour(place, symbol, memory)
    seen = []
    for elapsed in (0.0, 0.5, 1.25):
        behaviour.move(elapsed)
        seen.append(memory.value("MAIN.y"))
    assert seen == pytest.approx(expected, abs=1e-6)


def test_a_behaviour_needs_a_type_that_can_do_it() -> None:
    memory = PlcMemory()
    place = memory.add("MAIN.s", "STRING(5)")
    with pytest.raises(ValueError, match=r"MAIN.s: a STRING"):
        Behaviour(place, SymbolOptions(type="STRING(5)", behaviour="ramp"), memory)


def test_a_symbol_cannot_be_declared_twice(memory: PlcMemory) -> None:
    with pytest.raises(ValueError, match="twice"):
        memory.add("main.NCOUNT", "INT")


GROUPS = st.sampled_from([0x4020, 0x4021, 0x4040, *range(0xF003, 0xF010), *range(0xF080, 0xF087)])
NUMBERS = st.one_of(st.integers(0, 8), st.just(0x1000), st.integers(0, 0xFFFFFFFF))
REQUESTS = st.one_of(
    st.binary(max_size=80),
    st.builds(commands.read_request, GROUPS, NUMBERS, NUMBERS),
    st.builds(commands.write_request, GROUPS, NUMBERS, st.binary(max_size=60)),
    st.builds(commands.read_write_request, GROUPS, NUMBERS, NUMBERS, st.binary(max_size=60)),
)


@given(st.lists(st.tuples(st.integers(1, 9), REQUESTS), max_size=8))
def test_no_request_breaks_the_device(requests: list[tuple[int, bytes]]) -> None:
    memory = PlcMemory()
    memory.add("MAIN.nCount", "DINT", 7)
    plc = SimulatedPlc(TARGET[:6], 851, memory)
    handle(plc, "MAIN.nCount")
    for command, data in requests:
        ask(plc, command, data)
        samples(plc, 1.0)
