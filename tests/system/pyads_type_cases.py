"""pyads as a client: structures, every type both ways, discovery and routes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbus import Rejected
from flowbus.testing import run_flow
from tests.system.pyads_peer import HOST, NET_ID, own_client, pyads, pyads_ex, use

pytestmark = pytest.mark.system

STRUCT_TYPES = {
    "ST": {"members": {"bA": "BOOL", "rB": "LREAL", "nC": "INT", "sD": "STRING(10)", "aE": "ARRAY [0..2] OF DINT"}},
    "ST_Packed": {"members": {"bA": "BOOL", "rB": "LREAL", "nC": "INT"}, "pack": 1},
}
"""pyads reads structures byte by byte as they are defined to it, so their layout is in its hands."""


async def test_structures() -> None:
    values = {"bA": True, "rB": -0.5, "nC": 7, "sD": "abc", "aE": [1, 2, 3]}
    packed = {"bA": True, "rB": 2.5, "nC": -7}
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "types": STRUCT_TYPES,
        "symbols": {
            "MAIN.st": {"type": "ST", "value": values},
            "MAIN.stPacked": {"type": "ST_Packed", "value": packed},
        },
    }  # fmt: skip
    definition = (
        ("bA", pyads.PLCTYPE_BOOL, 1), ("pad1", pyads.PLCTYPE_BYTE, 7),
        ("rB", pyads.PLCTYPE_LREAL, 1), ("nC", pyads.PLCTYPE_INT, 1),
        ("sD", pyads.PLCTYPE_STRING, 1, 10), ("pad2", pyads.PLCTYPE_BYTE, 3),
        ("aE", pyads.PLCTYPE_DINT, 3), ("pad3", pyads.PLCTYPE_BYTE, 4),
    )  # fmt: skip
    packed_definition = (
        ("bA", pyads.PLCTYPE_BOOL, 1), ("rB", pyads.PLCTYPE_LREAL, 1), ("nC", pyads.PLCTYPE_INT, 1),
    )  # fmt: skip

    def call(plc: Any) -> Any:
        first = plc.read_structure_by_name("MAIN.st", definition)
        tight = plc.read_structure_by_name("MAIN.stPacked", packed_definition)
        plc.write_structure_by_name("MAIN.stPacked", {**packed, "nC": 99}, packed_definition)
        symbols = [(s.name, s.symbol_type) for s in plc.get_all_symbols()]
        return first, tight, plc.read_by_name("MAIN.stPacked.nC"), symbols

    with trio.fail_after(40):
        async with run_flow({"nodes": {"sim": plc}, "wires": []}) as running:
            await running.wait_running("sim")
            first, tight, member, symbols = await use(call)
            assert {name: first[name] for name in values} == values
            assert (dict(tight), member) == (packed, 99)
            assert symbols[:2] == [("MAIN.st", "ST"), ("MAIN.stPacked", "ST_Packed")]


async def test_symbols_that_follow_their_values() -> None:
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "types": STRUCT_TYPES, "cycle": 0.002,
        "symbols": {"MAIN.n": {"type": "DINT", "value": 7}, "MAIN.st": {"type": "ST_Packed"}},
    }  # fmt: skip
    definition = (
        ("bA", pyads.PLCTYPE_BOOL, 1), ("rB", pyads.PLCTYPE_LREAL, 1), ("nC", pyads.PLCTYPE_INT, 1),
    )  # fmt: skip

    changed = threading.Event()

    class Following(pyads.AdsSymbol):
        """Tells that the PLC has sent a value."""

        def _value_callback(self, notification: Any, data_name: Any) -> None:
            super()._value_callback(notification, data_name)
            changed.set()

    def follow(plc: Any) -> Any:
        own, other = Following(plc, "MAIN.n", auto_update=True), plc.get_symbol("MAIN.n")
        own.value = 8  # written, as it follows
        seen = [other.read()]
        other.write(9)
        while own.value != 9:
            assert changed.wait(10)
            changed.clear()
        seen.append(own.value)
        own.clear_device_notifications()
        struct = plc.get_symbol("MAIN.st", structure_def=definition)
        struct.write({"bA": True, "rB": 2.5, "nC": -7})
        return seen, dict(struct.read())

    with trio.fail_after(40):
        async with run_flow({"nodes": {"sim": plc}, "wires": []}) as running:
            await running.wait_running("sim")
            seen, struct = await use(follow)
            assert seen == [8, 9]
            assert struct == {"bA": True, "rB": 2.5, "nC": -7}
            assert running.runtime.status()["nodes"]["sim"]["details"]["notifications"] == 0


async def test_discovery_and_routes() -> None:
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "users": {"anna": "geheim"},
        "symbols": {"MAIN.n": {"type": "INT"}},
    }  # fmt: skip

    def ask() -> Any:
        found = pyads_ex.adsGetNetIdForPLC(HOST)
        added = pyads_ex.adsAddRouteToPLC("1.2.3.4.1.1", "10.0.0.1", HOST, "anna", "geheim", "edge")
        # pyads takes the answer to a wrong password, 0x704, for an unknown one
        with pytest.raises(RuntimeError, match="Unexpected response"):
            pyads_ex.adsAddRouteToPLC("9.9.9.9.1.1", "10.0.0.2", HOST, "anna", "falsch", "other")
        return found, added

    with trio.fail_after(40):
        async with run_flow({"nodes": {"sim": plc}, "wires": []}) as running:
            await running.wait_running("sim")
            assert await trio.to_thread.run_sync(ask, abandon_on_cancel=True) == (NET_ID, True)
            routes = running.runtime.status()["nodes"]["sim"]["details"]["routes"]
            assert routes == {"edge": "1.2.3.4.1.1"}


MOMENTS = st.integers(0, 2**31 - 1)  # pyads takes them for signed numbers
REALS = st.floats(width=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
EVERY: dict[str, tuple[str, Any, st.SearchStrategy[Any]]] = {
    "bool": ("BOOL", pyads.PLCTYPE_BOOL, st.booleans()),
    "byte": ("BYTE", pyads.PLCTYPE_BYTE, st.integers(0, 2**8 - 1)),
    "sint": ("SINT", pyads.PLCTYPE_SINT, st.integers(-(2**7), 2**7 - 1)),
    "word": ("WORD", pyads.PLCTYPE_WORD, st.integers(0, 2**16 - 1)),
    "int": ("INT", pyads.PLCTYPE_INT, st.integers(-(2**15), 2**15 - 1)),
    "dword": ("DWORD", pyads.PLCTYPE_DWORD, st.integers(0, 2**32 - 1)),
    "dint": ("DINT", pyads.PLCTYPE_DINT, st.integers(-(2**31), 2**31 - 1)),
    "ulint": ("ULINT", pyads.PLCTYPE_ULINT, st.integers(0, 2**64 - 1)),
    "lint": ("LINT", pyads.PLCTYPE_LINT, st.integers(-(2**63), 2**63 - 1)),
    "real": ("REAL", pyads.PLCTYPE_REAL, REALS),
    "lreal": ("LREAL", pyads.PLCTYPE_LREAL, st.floats()),
    "time": ("TIME", pyads.PLCTYPE_TIME, MOMENTS),
    "date": ("DATE", pyads.PLCTYPE_DATE, MOMENTS),
    "tod": ("TOD", pyads.PLCTYPE_TOD, MOMENTS),
    "dt": ("DT", pyads.PLCTYPE_DT, MOMENTS),
    "text": ("STRING(80)", pyads.PLCTYPE_STRING, TEXTS),
    "wide": ("WSTRING(40)", pyads.PLCTYPE_WSTRING, TEXTS),
    "array": (
        "ARRAY [-2..2] OF DINT", pyads.PLCTYPE_DINT * 5,
        st.lists(st.integers(-(2**31), 2**31 - 1), min_size=5, max_size=5),
    ),
}  # fmt: skip


def the_same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, where NaN is NaN."""
    return one == other or (one != one and other != other)


async def test_every_type_both_ways() -> None:
    """What our client writes pyads reads, and what pyads writes our client reads."""
    symbols = {f"MAIN.{name}": {"type": kind} for name, (kind, _, _) in EVERY.items()}
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "symbols": symbols,
    }  # fmt: skip
    pairs = st.sampled_from(sorted(EVERY)).flatmap(
        lambda name: st.tuples(st.just(name), EVERY[name][2], EVERY[name][2])
    )

    def compare(client: AdsClient) -> Callable[[Any], None]:
        def with_pyads(other: Any) -> None:
            @settings(max_examples=300, deadline=None)
            @given(pairs)
            def both_ways(pair: tuple[str, Any, Any]) -> None:
                name, ours, theirs = pair
                kind = EVERY[name][1]
                trio.from_thread.run(client.write, f"MAIN.{name}", ours)
                assert the_same(other.read_by_name(f"MAIN.{name}", kind), ours)
                if name == "wide":
                    return  # pyads writes a WSTRING without the zero that ends it
                other.write_by_name(f"MAIN.{name}", theirs, kind)
                assert the_same(trio.from_thread.run(client.read, f"MAIN.{name}"), theirs)

            both_ways()

        return with_pyads

    with trio.fail_after(60):
        async with run_flow({"nodes": {"sim": plc}, "wires": []}) as running:
            await running.wait_running("sim")
            async with own_client("utf-8") as client:
                await use(compare(client))


async def test_a_text_in_the_code_page_of_windows() -> None:
    """pyads takes a STRING for UTF-8, so it reads and writes the bytes."""
    text, raw = "Größe 5 €", "Größe 5 €".encode("cp1252")
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID,
        "symbols": {"MAIN.s": {"type": "STRING(20)"}},
    }  # fmt: skip
    array = pyads.PLCTYPE_BYTE * 21
    async with run_flow({"nodes": {"sim": plc}, "wires": []}) as running:
        with trio.fail_after(30):
            await running.wait_running("sim")
            async with own_client() as client:
                await client.write("MAIN.s", text)
                seen = await use(lambda other: other.read_by_name("MAIN.s", array))
                assert bytes(seen).split(b"\0")[0] == raw
                turned = [*raw[::-1], *bytes(21 - len(raw))]
                await use(lambda other: other.write_by_name("MAIN.s", turned, array))
                assert await client.read("MAIN.s") == text[::-1]
                with pytest.raises(Rejected, match="21"):
                    await client.write("MAIN.s", "x" * 21)
                assert await client.read("MAIN.s") == text[::-1]
