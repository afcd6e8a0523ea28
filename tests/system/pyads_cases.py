"""pyads as a client: values, lists, handles, symbols, notifications."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from flowbus_ads.addresses import IndexAddress

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow
from tests.system.pyads_peer import HOST, NET_ID, connected, own_client, pyads, use

pytestmark = pytest.mark.system

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
        async with own_client() as client:
            raw = IndexAddress(group=pyads.INDEXGROUP_MEMORYBYTE, offset=10, length=2)
            assert await client.read(raw) == struct.pack("<h", 123)


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


async def test_sum_commands_by_index() -> None:
    """What 0xF083 and 0xF084 say about a missing value; 0xF080 is what `test_lists` uses."""
    asked = [(0x4040, 4), (0x1234, 2), (0x4040, 21)]  # a number, nothing, a text

    def call(plc: Any) -> Any:
        number, text = plc.get_symbol("MAIN.nCount"), plc.get_symbol("MAIN.sText")
        offsets = (number.index_offset, 0, text.index_offset)
        items = [(g, offset, size) for (g, size), offset in zip(asked, offsets, strict=True)]
        request = b"".join(struct.pack("<3I", *item) for item in items)
        answers = {}
        for group in (0xF083, 0xF084):
            room = pyads.PLCTYPE_BYTE * (3 * 8 + 4 + 2 + 21)
            sent = pyads.PLCTYPE_BYTE * len(request)
            answers[group] = bytes(plc.read_write(group, 3, room, list(request), sent, check_length=False))
        write = struct.pack("<4I", 0xF003, 0, 4, 11) + b"MAIN.nCount"
        kinds = pyads.PLCTYPE_BYTE * 12, pyads.PLCTYPE_BYTE * len(write)
        both = bytes(plc.read_write(0xF082, 1, kinds[0], list(write), kinds[1], check_length=False))
        handle = int.from_bytes(both[8:], "little")
        return answers, both[:8], plc.read_by_name("", pyads.PLCTYPE_DINT, handle=handle)

    async with simulator():
        answers, head, value = await use(call)
        text = b"hello".ljust(21, b"\0")
        values = struct.pack("<i", 7)
        lengths = struct.pack("<6I", 0, 4, 0x702, 2, 0, 21)
        assert answers[0xF083] == lengths + values + bytes(2) + text
        lengths = struct.pack("<6I", 0, 4, 0x702, 0, 0, 21)
        assert answers[0xF084][:49] == lengths + values + text
        assert (head, value) == (struct.pack("<II", 0, 4), 7)


async def test_symbol_upload() -> None:
    def call(plc: Any) -> Any:
        return {s.name: (s.symbol_type, s.comment, s.index_group) for s in plc.get_all_symbols()}

    async with simulator():
        symbols = await use(call)
        assert list(symbols) == [*SYMBOLS, "TwinCAT_SystemInfoVarList._AppInfo.OnlineChangeCnt"]
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
