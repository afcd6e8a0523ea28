"""Types that a program declares: their table, their layout, their values."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from flowbus_ads.plc.typedefs import MethodOptions, Program, TypeOptions
from flowbus_ads.protocol.errors import EncodeError, ProtocolError, UnsupportedTypeError
from flowbus_ads.protocol.structures import StructCodec
from flowbus_ads.protocol.typeentries import (
    Bound,
    Method,
    Parameter,
    TypeEntry,
    TypeFlag,
    encode_type,
    parse_type,
    parse_types,
)
from flowbus_ads.protocol.typetable import TypeTable
from flowbus_ads.symbols import Symbol
from flowbus_ads.writes import some_members
from hypothesis import given
from hypothesis import strategies as st

U32 = st.integers(0, 0xFFFFFFFF)
NAME = st.text(st.characters(codec="cp1252", exclude_characters="\0"), max_size=5)
PARAMETERS = st.builds(Parameter, NAME, NAME, U32, U32, st.sampled_from([1, 2]))
METHODS = st.builds(
    Method, NAME, NAME, U32, U32, st.lists(PARAMETERS, max_size=3).map(tuple), NAME
)
BOUNDS = st.builds(Bound, st.integers(-(2**31), 2**31 - 1), U32)


@st.composite
def entries(draw: st.DrawFn, depth: int = 1) -> TypeEntry:
    """Return an entry whose flags tell what it has, as those of a real table do."""
    enum = draw(st.booleans())
    size = draw(st.sampled_from([1, 2, 4, 8])) if enum else draw(U32)
    largest = (1 << (8 * min(max(size, 1), 8) - 1)) - 1
    values = st.integers(-largest - 1, largest)
    signed = {1: 16, 2: 2, 4: 3, 8: 20}
    members = draw(st.lists(entries(depth - 1), max_size=2)) if depth else []
    methods = draw(st.lists(METHODS, max_size=2))
    attributes = draw(st.lists(st.tuples(NAME, NAME), max_size=2))
    names = draw(st.lists(st.tuples(NAME, values), min_size=1, max_size=3)) if enum else []
    flags = draw(st.sampled_from([1, 2, 0x20, 0x40]))
    flags |= TypeFlag.METHODS if methods else 0
    flags |= TypeFlag.ATTRIBUTES if attributes else 0
    flags |= TypeFlag.ENUM if names else 0
    return TypeEntry(
        draw(NAME), size, draw(NAME), draw(U32), signed[size] if enum else draw(U32), flags,
        draw(NAME), tuple(draw(st.lists(BOUNDS, max_size=2))), tuple(members), tuple(methods),
        tuple(attributes), tuple(names),
    )  # fmt: skip


@given(entries())
def test_an_entry_is_read_as_it_was_written(entry: TypeEntry) -> None:
    data = encode_type(entry)
    assert parse_type(data) == (entry, len(data))
    assert list(parse_types(data * 2, 2)) == [entry, entry]


@given(entries(), st.data())
def test_a_table_that_is_cut_off_or_spoilt_is_an_error_and_nothing_worse(
    entry: TypeEntry, data: st.DataObject
) -> None:
    good = encode_type(entry)
    cut = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises(ProtocolError):
        parse_type(good[:cut])
    spoilt = bytearray(good)
    spoilt[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        parse_type(bytes(spoilt))
    except ProtocolError:
        return


def test_guid_and_copy_mask_are_skipped() -> None:
    entry = TypeEntry("T", 4, flags=int(TypeFlag.DATATYPE), attributes=(("a", "b"),))
    data = bytearray(encode_type(entry))
    extra = bytes(range(16)) + b"\xff" * 4
    at = len(data) - len(b"\1\0\1\1a\0b\0")
    data[at:at] = extra
    struct.pack_into("<I", data, 0, len(data))
    flags = entry.flags | TypeFlag.ATTRIBUTES | TypeFlag.GUID | TypeFlag.COPY_MASK
    struct.pack_into("<I", data, 28, flags)
    read, _ = parse_type(bytes(data))
    assert read.attributes == entry.attributes


# ---- layout

MIXED = {"bA": "BOOL", "rB": "LREAL", "nC": "INT", "sD": "STRING(4)", "wE": "WSTRING(1)"}


@pytest.mark.parametrize(
    ("pack", "offsets", "size"),
    [
        # BOOL 1, LREAL 8, INT 2, STRING(4) 5 at any byte, WSTRING(1) 4 at even bytes
        (8, [0, 8, 16, 18, 24], 32),
        (4, [0, 4, 12, 14, 20], 24),
        (2, [0, 2, 10, 12, 18], 22),
        (1, [0, 1, 9, 11, 16], 20),
        (0, [0, 1, 9, 11, 16], 20),
    ],
)
def test_members_lie_where_the_pack_mode_says(pack: Any, offsets: list[int], size: int) -> None:
    program = Program({"ST": TypeOptions(members=MIXED, pack=pack)})
    entry = program.need("st")
    assert [member.offset for member in entry.members] == offsets
    assert entry.size == size
    value = {"bA": True, "rB": -0.5, "nC": 7, "sD": "ab", "wE": "Ω"}
    codec = program.codec("ST")
    assert codec.decode(codec.encode(value)) == value


def test_bits_share_bytes_and_nested_structures_keep_their_alignment() -> None:
    types = {
        "ST_Inner": TypeOptions(members={"n": "BYTE", "d": "DINT"}),
        "ST": TypeOptions(
            members={"b0": "BIT", "b1": "BIT", "x": "ST_Inner", **{f"c{i}": "BIT" for i in range(9)}}
        ),
    }
    program = Program(types)
    entry = program.need("ST")
    places = {member.name: member.offset for member in entry.members}
    assert (places["b0"], places["b1"], places["x"]) == (0, 1, 4)
    assert [places[f"c{i}"] for i in range(9)] == [*range(96, 104), 104]
    assert entry.size == 16
    value = {"b0": True, "b1": False, "x": {"n": 3, "d": -1}}
    value |= {f"c{i}": i % 2 == 0 for i in range(9)}
    codec = program.codec("ST")
    assert codec.decode(codec.encode(value)) == value


def declared() -> Program:
    return Program(
        {
            "E_Mode": TypeOptions(enum={"Idle": 0, "Run": 5, "Fault": -1}),
            "E_Wide": TypeOptions(enum={"Big": 2**63}, alias="ULINT"),
            "T_Speed": TypeOptions(alias="LREAL"),
            "ST_Axis": TypeOptions(members={"eMode": "E_Mode", "rSpeed": "T_Speed", "p": "POINTER TO INT"}),
            "ST_Line": TypeOptions(members={"aAxis": "ARRAY [-1..0, 1..2] OF ST_Axis", "e": "E_Wide"}),
        }
    )


def test_enumerations_take_numbers_and_names_and_are_read_as_either() -> None:
    program = declared()
    codec = program.codec("E_Mode")
    assert codec.size == 2
    for value in (5, "Run", "run", "E_Mode.Run"):
        assert codec.encode(value) == b"\5\0"
    assert codec.decode(codec.encode("Fault")) == -1
    assert codec.decode(b"\7\0") == 7
    by_name = TypeTable(program.table, by_name=True).codec("E_Mode", 2, 2)
    assert [by_name.decode(data) for data in (b"\5\0", b"\xff\xff", b"\7\0")] == ["Run", "Fault", 7]
    with pytest.raises(EncodeError, match="E_Mode has no 'Stop', but Idle, Run, Fault"):
        codec.encode("Stop")
    with pytest.raises(EncodeError, match="does not fit INT"):
        codec.encode(40_000)
    assert program.codec("E_Wide").decode(program.codec("E_Wide").encode("Big")) == 2**63


AXES = st.fixed_dictionaries(
    {
        "eMode": st.integers(-(2**15), 2**15 - 1),
        "rSpeed": st.floats(allow_nan=False),
        "p": st.integers(0, 2**64 - 1),
    }
)
LINES = st.fixed_dictionaries(
    {
        "aAxis": st.lists(st.lists(AXES, min_size=2, max_size=2), min_size=2, max_size=2),
        "e": st.integers(0, 2**64 - 1),
    }
)


@given(LINES)
def test_nested_values_come_back(value: Any) -> None:
    codec = declared().codec("ST_Line")
    assert codec.decode(codec.encode(value)) == value


AXIS = {"eMode": 0, "rSpeed": 1.5, "p": 0}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "is no object of members, which ST_Axis needs"),
        ({**AXIS, "rSpeeed": 1}, "has no member 'rSpeeed'; did you mean 'rSpeed'"),
        ({**AXIS, "RSPEED": 1}, "'rSpeed' is there twice"),
        ({"eMode": 0}, "ST_Axis needs rSpeed, p too"),
        ({**AXIS, "rSpeed": "fast"}, "rSpeed of ST_Axis: 'fast' is not a number"),
        ({**AXIS, "eMode": "Stop"}, "eMode of ST_Axis: E_Mode has no 'Stop'"),
    ],
)
def test_a_value_that_does_not_fit_says_where(value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        declared().codec("ST_Axis").encode(value)


@pytest.mark.parametrize(
    ("types", "text"),
    [
        ({"A": TypeOptions(members={"b": "B"}), "B": TypeOptions(members={"a": "A"})}, "holds itself"),
        ({"A": TypeOptions(members={"b": "NOPE"})}, "type A: type 'NOPE' has no codec"),
        ({"A": TypeOptions(enum={"x": 40_000})}, "type A: 40000 does not fit INT"),
        ({"A": TypeOptions(alias="ARRAY [1..0] OF INT")}, "bounds"),
    ],
)
def test_a_type_that_cannot_be_is_named(types: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Program(types)


@pytest.mark.parametrize(
    "entry",
    [
        TypeEntry("A", 4, "A"),
        TypeEntry("A", 4, "B"),
        TypeEntry("A", 4, members=(TypeEntry("m", 4, "A"),)),
        TypeEntry("A", 4, members=(TypeEntry("m", 4, "INT", 2, 2),)),
        TypeEntry("A", 4, members=(TypeEntry("m", 4, "DINT", 2, 3),)),
        TypeEntry("A", 4, "INT", bounds=(Bound(0, 3),)),
        TypeEntry("A", 4, "INT", bounds=(Bound(0, 0),)),
        TypeEntry("A", 0xFFFF_FFFF, "INT", bounds=(Bound(0, 0x7FFF_FFFF),)),
    ],
)
def test_a_table_of_a_plc_that_makes_no_sense_is_unsupported(entry: TypeEntry) -> None:
    table = TypeTable([entry, TypeEntry("B", 4, "A")])
    with pytest.raises(UnsupportedTypeError):
        table.codec("A", entry.size, 65)


def test_methods_tell_their_parameters() -> None:
    options = TypeOptions(
        members={"n": "INT"},
        methods={"Add": MethodOptions(parameters={"a": "INT"}, outputs={"b": "T"}, returns="DINT")},
    )
    program = Program({"FB": options, "T": TypeOptions(alias="REAL")})
    (method,) = parse_type(encode_type(program.need("FB")))[0].methods
    assert (method.name, method.type_name, method.size) == ("Add", "DINT", 4)
    assert [(p.name, p.type_name, p.flags) for p in method.parameters] == [("a", "INT", 1), ("b", "T", 2)]


# ---- what a table does not name


FB = TypeOptions(members={"n": "INT", "b": "BIT"}, methods={"Go": MethodOptions()})


def test_a_function_block_starts_with_a_pointer_and_is_not_encoded_as_a_whole() -> None:
    program = Program({"FB": FB, "ST": TypeOptions(members={"x": "BYTE", "fb": "FB"})})
    entry = program.need("FB")
    assert [member.offset for member in entry.members] == [8, 8 * 10]
    assert entry.size == 16
    assert program.codec("FB").decode(bytes(8) + b"\5\0\1" + bytes(5)) == {"n": 5, "b": True}
    with pytest.raises(EncodeError, match="FB has parts that its table does not name"):
        program.codec("FB").encode({"n": 5, "b": True})
    with pytest.raises(EncodeError, match="fb of ST: FB has parts"):
        program.codec("ST").encode({"x": 1, "fb": {"n": 5, "b": True}})


@pytest.mark.parametrize(
    ("offsets", "size", "hidden"),
    [
        ([0, 8], 16, False),
        ([0, 4], 16, True),  # the last 8 bytes belong to nobody
        ([0, 12], 16, True),
        ([4, 8], 12, True),  # a pointer of a 32 bit runtime
        ([0, 7], 16, False),
    ],
)
def test_bytes_that_are_no_padding_are_told_from_padding(
    offsets: list[int], size: int, hidden: bool
) -> None:
    members = tuple(TypeEntry(f"m{at}", 4, "DINT", at, 3) for at in offsets)
    codec = TypeTable([TypeEntry("T", size, members=members)]).codec("T", size, 65)
    assert isinstance(codec, StructCodec)
    assert codec.has_hidden_parts is hidden


def test_members_of_a_union_agree_or_one_is_given() -> None:
    members = (TypeEntry("n", 4, "DINT", 0, 3), TypeEntry("r", 4, "REAL", 0, 4), TypeEntry("u", 2, "UINT", 0, 18))
    codec = TypeTable([TypeEntry("U", 4, members=members)]).codec("U", 4, 65)
    value = codec.decode(b"\0\0\x80\x3f")
    assert value == {"n": 0x3F800000, "r": 1.0, "u": 0}
    assert codec.encode(value) == b"\0\0\x80\x3f"
    with pytest.raises(EncodeError, match="share bytes and do not agree"):
        codec.encode({**value, "n": 5})
    with pytest.raises(EncodeError, match="share bytes; give one of them, or all"):
        codec.encode({"n": 5, "u": 6})


def test_what_is_written_member_by_member() -> None:
    dint, word = TypeEntry("n", 4, "DINT", 0, 3), TypeEntry("u", 2, "UINT", 0, 18)
    union = TypeTable([TypeEntry("U", 4, members=(dint, word))]).codec("U", 4, 65)
    block = (TypeEntry("n", 4, "DINT", 8, 3), TypeEntry("u", 2, "UINT", 8, 18))
    hidden = TypeTable([TypeEntry("FB", 16, members=block)]).codec("FB", 16, 65)
    both = {"n": 1, "u": 1}
    assert some_members(Symbol("s", 0, 0, union, None), {"u": 1}) == {"s.u": 1}
    assert not some_members(Symbol("s", 0, 0, union, None), both)  # as one value, which must agree
    assert some_members(Symbol("s", 0, 0, hidden, None), both) == {"s.n": 1, "s.u": 1}
