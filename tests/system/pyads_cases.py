"""pyads (Beckhoff's AdsLib) as a client of the simulated PLC.

AdsLib dials TCP 48898 only, so the PLC has a loopback address of its own. Its router crashes the
process when a connection closes with live notifications, and must have its ports closed before
its routes: :func:`connected` keeps to that order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import open_link
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow

pyads = pytest.importorskip("pyads")
from pyads import pyads_ex  # noqa: E402

pytestmark = pytest.mark.system

HOST = "127.0.0.42"
NET_ID = "5.42.0.1.1.1"
SYMBOLS: dict[str, Any] = {
    "MAIN.bFlag": {"type": "BOOL", "value": True},
    "MAIN.nByte": {"type": "BYTE", "value": 200},
    "MAIN.nInt": {"type": "INT", "value": -5},
    "MAIN.nCount": {"type": "DINT", "value": 7, "comment": "pieces"},
    "MAIN.nLong": {"type": "LINT", "value": -(2**60)},
    "MAIN.rReal": {"type": "REAL", "value": 0.5},
    "MAIN.rValue": {"type": "LREAL", "value": 1.5},
    "MAIN.sText": {"type": "STRING(20)", "value": "hello"},
    "MAIN.wText": {"type": "WSTRING(20)", "value": "Ωmega"},
    "MAIN.aInt": {"type": "ARRAY [0..3] OF INT", "value": [1, 2, 3, 4]},
    "MAIN.aText": {"type": "ARRAY [1..2] OF STRING(5)", "value": ["ab", "cde"]},
    "MAIN.nTick": {"type": "UDINT", "behaviour": "counter", "period": 0.01},
}
TYPES = {
    "MAIN.bFlag": pyads.PLCTYPE_BOOL,
    "MAIN.nByte": pyads.PLCTYPE_BYTE,
    "MAIN.nInt": pyads.PLCTYPE_INT,
    "MAIN.nCount": pyads.PLCTYPE_DINT,
    "MAIN.nLong": pyads.PLCTYPE_LINT,
    "MAIN.rReal": pyads.PLCTYPE_REAL,
    "MAIN.rValue": pyads.PLCTYPE_LREAL,
    "MAIN.sText": pyads.PLCTYPE_STRING,
    "MAIN.wText": pyads.PLCTYPE_WSTRING,
}
NEW = {
    "MAIN.bFlag": False, "MAIN.nByte": 1, "MAIN.nInt": 300, "MAIN.nCount": -1,
    "MAIN.nLong": 2**61, "MAIN.rReal": 2.5, "MAIN.rValue": -0.25, "MAIN.sText": "abc",
}  # fmt: skip


@contextmanager
def connected() -> Iterator[Any]:
    plc = pyads.Connection(NET_ID, 851, HOST)
    plc.open()
    try:
        plc.set_timeout(5000)
        yield plc
    finally:
        pyads_ex.adsPortCloseEx(plc._port)
        pyads_ex.adsDelRoute(plc._adr.netIdStruct())
        plc._port, plc._open = None, False


@asynccontextmanager
async def simulator() -> AsyncIterator[Flow]:
    nodes = {
        "sim": {
            "type": "ads-simulator", "host": HOST, "net_id": NET_ID, "symbols": SYMBOLS,
            "cycle": 0.005,
        },
        "do": {"type": "test-source"},
        "written": {"type": "test-sink"},
    }  # fmt: skip
    flow = {"nodes": nodes, "wires": [["do", "sim"], ["sim", "written"]]}
    with trio.fail_after(40):
        async with run_flow(flow) as running:
            await running.wait_running("sim")
            yield running


async def use(call: Callable[[Any], Any]) -> Any:
    """Call ``call(plc)`` in a thread, with a deadline."""

    def run() -> Any:
        with connected() as plc:
            return call(plc)

    with trio.fail_after(30):
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)


async def test_device_and_state() -> None:
    def call(plc: Any) -> Any:
        name, version = plc.read_device_info()
        before = plc.read_state()
        plc.write_control(pyads.ADSSTATE_STOP, 0, 0, pyads.PLCTYPE_INT)
        return name, version.version, version.build, before, plc.read_state()

    async with simulator():
        assert await use(call) == ("flowbus PLC", 3, 4024, (5, 0), (6, 0))


async def test_read_and_write_by_name_with_and_without_a_type() -> None:
    def call(plc: Any) -> Any:
        first = {name: plc.read_by_name(name, kind) for name, kind in TYPES.items()}
        # pyads knows no STRING(n) as a type; everything else it finds by itself
        untyped = {name: plc.read_by_name(name) for name in TYPES if name != "MAIN.sText"}
        for name, value in NEW.items():
            plc.write_by_name(name, value, TYPES[name])
        return first, untyped, {name: plc.read_by_name(name, TYPES[name]) for name in NEW}

    async with simulator() as running:
        first, untyped, last = await use(call)
        assert first == {name: SYMBOLS[name]["value"] for name in TYPES}
        assert untyped == {name: value for name, value in first.items() if name != "MAIN.sText"}
        assert last == NEW
        written = {m.topic: m.payload for m in [await running.get("written") for _ in NEW]}
        assert written == NEW


async def test_arrays() -> None:
    def call(plc: Any) -> Any:
        plc.write_by_name("MAIN.aInt", [5, 6, 7, 8], pyads.PLCTYPE_ARR_INT(4))
        element = plc.read_by_name("MAIN.aInt[2]", pyads.PLCTYPE_INT)
        return plc.read_by_name("MAIN.aInt"), element, plc.read_list_by_name(["MAIN.aText"])

    async with simulator():
        values, element, texts = await use(call)
        assert values == [5, 6, 7, 8]
        assert element == 7
        assert texts == {"MAIN.aText": ["ab", "cde"]}


async def test_handles_and_index_addresses() -> None:
    def call(plc: Any) -> Any:
        handle = plc.get_handle("MAIN.nCount")
        plc.write_by_name("", 55, pyads.PLCTYPE_DINT, handle=handle)
        by_handle = plc.read_by_name("", pyads.PLCTYPE_DINT, handle=handle)
        plc.release_handle(handle)
        plc.write(pyads.INDEXGROUP_MEMORYBYTE, 10, 123, pyads.PLCTYPE_INT)
        plc.write(pyads.INDEXGROUP_MEMORYBIT, 33, True, pyads.PLCTYPE_BOOL)
        byte = plc.read(pyads.INDEXGROUP_MEMORYBYTE, 4, pyads.PLCTYPE_BYTE)
        symbol = plc.get_symbol("MAIN.nCount")
        symbol.write(56)
        by_index = plc.read(symbol.index_group, symbol.index_offset, pyads.PLCTYPE_DINT)
        memory = plc.read(pyads.INDEXGROUP_MEMORYBYTE, 10, pyads.PLCTYPE_INT)
        return by_handle, memory, byte, by_index, symbol.comment

    async with simulator():
        assert await use(call) == (55, 123, 2, 56, "pieces")


async def test_lists() -> None:
    names = [name for name in TYPES if name != "MAIN.nTick"]

    def call(plc: Any) -> Any:
        first = plc.read_list_by_name(names)
        result = plc.write_list_by_name(NEW)
        return first, result, plc.read_list_by_name(list(NEW))

    async with simulator():
        first, result, last = await use(call)
        assert first == {name: SYMBOLS[name]["value"] for name in names}
        assert set(result.values()) == {"no error"}
        assert last == NEW


async def test_symbol_upload() -> None:
    def call(plc: Any) -> Any:
        return {s.name: (s.symbol_type, s.comment, s.index_group) for s in plc.get_all_symbols()}

    async with simulator():
        symbols = await use(call)
        assert list(symbols) == list(SYMBOLS)
        assert symbols["MAIN.nCount"] == ("DINT", "pieces", 0x4040)
        assert symbols["MAIN.aInt"][0] == "ARRAY [0..3] OF INT"


async def test_refusals() -> None:
    def call(plc: Any) -> Any:
        numbers = []
        for attempt in (
            lambda: plc.read_by_name("MAIN.nope", pyads.PLCTYPE_INT),
            lambda: plc.read(0x1234, 0, pyads.PLCTYPE_INT),
            lambda: plc.write_by_name("MAIN.nInt", 1, pyads.PLCTYPE_LINT),
            lambda: plc.read_by_name("", pyads.PLCTYPE_INT, handle=3),
        ):
            with pytest.raises(pyads.ADSError) as caught:
                attempt()
            numbers.append(caught.value.err_code)
        return numbers

    async with simulator():
        assert await use(call) == [0x710, 0x702, 0x705, 0x710]


class Heard:
    """Samples that callbacks of AdsLib's threads brought."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, float, Any]] = []
        self._lock = threading.Condition()

    def __call__(self, handle: int, name: Any, timestamp: Any, value: Any) -> None:
        with self._lock:
            self.samples.append((name, timestamp.timestamp(), value))
            self._lock.notify_all()

    def wait(self, count: int, name: str, value: Any = None) -> list[tuple[str, float, Any]]:
        def found() -> list[tuple[str, float, Any]]:
            return [s for s in self.samples if s[0] == name and value in (None, s[2])]

        with self._lock:
            assert self._lock.wait_for(lambda: len(found()) >= count, timeout=10)
            return found()


async def test_notifications_on_change_and_cyclic() -> None:
    def call(plc: Any) -> Any:
        heard = Heard()
        take = plc.notification(pyads.PLCTYPE_DINT)(heard)
        change = pyads.NotificationAttrib(4, pyads.ADSTRANS_SERVERONCHA, 0, 1)
        cyclic = pyads.NotificationAttrib(4, pyads.ADSTRANS_SERVERCYCLE, 0, 10)
        first = plc.add_device_notification("MAIN.nCount", change, take)
        second = plc.add_device_notification("MAIN.nTick", cyclic, take)
        try:
            assert heard.wait(1, "MAIN.nCount")[0][2] == 7
            plc.write_by_name("MAIN.nCount", 8, pyads.PLCTYPE_DINT)
            changed = heard.wait(1, "MAIN.nCount", 8)
            ticks = heard.wait(20, "MAIN.nTick")
        finally:
            plc.del_device_notification(*first)
            plc.del_device_notification(*second)
        return changed, ticks, time.time()

    async with simulator() as running:
        changed, ticks, now = await use(call)
        assert len(changed) == 1
        assert abs(changed[0][1] - now) < 60
        assert [value for _, _, value in ticks] == sorted(value for _, _, value in ticks)
        assert running.runtime.parts is not None


async def test_several_threads_each_with_its_own_connection() -> None:
    def one(number: int, heard: Heard) -> int:
        with connected() as plc:
            take = plc.notification(pyads.PLCTYPE_UDINT)(heard)
            attributes = pyads.NotificationAttrib(4, pyads.ADSTRANS_SERVERCYCLE, 0, 5)
            handles = plc.add_device_notification("MAIN.nTick", attributes, take)
            try:
                for _ in range(50):
                    assert plc.read_by_name("MAIN.rValue", pyads.PLCTYPE_LREAL) == 1.5
                    plc.write_by_name("MAIN.nCount", number, pyads.PLCTYPE_DINT)
                return len(heard.wait(5, "MAIN.nTick"))
            finally:
                plc.del_device_notification(*handles)

    async with simulator():
        counts: list[int] = []

        async def run(number: int) -> None:
            with trio.fail_after(30):
                counts.append(
                    await trio.to_thread.run_sync(one, number, Heard(), abandon_on_cancel=True)
                )

        def hold() -> None:
            with connected():
                release.wait(35)

        release = threading.Event()
        async with trio.open_nursery() as holder:
            # AdsLib drops the route with the last connection: one stays open throughout.
            holder.start_soon(trio.to_thread.run_sync, hold)
            try:
                async with trio.open_nursery() as nursery:
                    for number in range(4):
                        nursery.start_soon(run, number)
            finally:
                release.set()
        assert len(counts) == 4
        assert min(counts) >= 5


async def test_values_set_by_the_flow_reach_pyads() -> None:
    async with simulator() as running:
        end = await running.put("do", Message(99, "MAIN.nCount"))
        assert end.outcome is Outcome.CONFIRMED
        assert await use(lambda plc: plc.read_by_name("MAIN.nCount", pyads.PLCTYPE_DINT)) == 99


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
            assert symbols == [("MAIN.st", "ST"), ("MAIN.stPacked", "ST_Packed")]


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
            own = "127.0.0.8.1.1"
            async with open_link(HOST, 48898, connect_timeout=2.0, source_net_id=own) as link:
                client = AdsClient(link, NET_ID, 851, encoding="utf-8")
                await client.start()
                await use(compare(client))
