"""pyads as a client: nested structures of every pack mode, laid out by the C rules of ctypes.

Neither side knows the other's layout: ours comes from the simulated PLC's table of types, that of
pyads from a ctypes structure with the same ``_pack_``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbus.testing import run_flow
from tests.system.pyads_peer import HOST, NET_ID, own_client, use

pytestmark = pytest.mark.system
PACKS = (0, 1, 2, 4, 8)
INNER = {"nByte": "BYTE", "rLong": "LREAL", "nInt": "INT"}
OUTER = {"bFlag": "BOOL", "nWord": "WORD", "nLong": "LINT", "rReal": "REAL"}

INNERS = st.fixed_dictionaries(
    {
        "nByte": st.integers(0, 255),
        "rLong": st.floats(allow_nan=False),
        "nInt": st.integers(-(2**15), 2**15 - 1),
    }
)
OUTERS = st.fixed_dictionaries(
    {
        "bFlag": st.booleans(),
        "stIn": INNERS,
        "nWord": st.integers(0, 2**16 - 1),
        "aIn": st.lists(st.lists(INNERS, min_size=2, max_size=2), min_size=3, max_size=3),
        "nLong": st.integers(-(2**63), 2**63 - 1),
        "rReal": st.floats(width=32, allow_nan=False),
    }
)


def types(pack: int) -> dict[str, Any]:
    outer = {
        "bFlag": "BOOL", "stIn": f"ST_In{pack}", "nWord": "WORD",
        "aIn": f"ARRAY [-2..0, 5..6] OF ST_In{pack}", "nLong": "LINT", "rReal": "REAL",
    }  # fmt: skip
    return {
        f"ST_In{pack}": {"members": INNER, "pack": pack},
        f"ST_Out{pack}": {"members": outer, "pack": pack},
    }


def of_ctypes(pack: int) -> Any:
    class Inner(ctypes.LittleEndianStructure):
        _pack_ = pack or 1  # TwinCAT's 0 and 1 are the same
        _fields_ = [("nByte", ctypes.c_uint8), ("rLong", ctypes.c_double), ("nInt", ctypes.c_int16)]

    class Outer(ctypes.LittleEndianStructure):
        _pack_ = pack or 1
        _fields_ = [
            ("bFlag", ctypes.c_bool), ("stIn", Inner), ("nWord", ctypes.c_uint16),
            ("aIn", Inner * 2 * 3), ("nLong", ctypes.c_int64), ("rReal", ctypes.c_float),
        ]  # fmt: skip

    return Outer


def plain(value: Any) -> Any:
    """Return what a ctypes value holds."""
    if isinstance(value, ctypes.Structure):
        return {name: plain(getattr(value, name)) for name, _ in value._fields_}
    if isinstance(value, ctypes.Array):
        return [plain(part) for part in value]
    return value


def fill(target: Any, value: dict[str, Any]) -> Any:
    """Put the values of an object into a ctypes structure."""
    for name, part in value.items():
        if isinstance(part, dict):
            fill(getattr(target, name), part)
        elif isinstance(part, list):
            for row, parts in zip(getattr(target, name), part, strict=True):
                for element, inner in zip(row, parts, strict=True):
                    fill(element, inner)
        else:
            setattr(target, name, part)
    return target


async def test_nested_structures_of_every_pack_mode_both_ways() -> None:
    plc = {
        "type": "ads-simulator", "host": HOST, "net_id": NET_ID,
        "types": {name: options for pack in PACKS for name, options in types(pack).items()},
        "symbols": {f"MAIN.st{pack}": {"type": f"ST_Out{pack}"} for pack in PACKS},
    }  # fmt: skip

    def compare(client: AdsClient) -> Callable[[Any], None]:
        def with_pyads(other: Any) -> None:
            @settings(max_examples=100, deadline=None)
            @given(st.sampled_from(PACKS), OUTERS, OUTERS)
            def both_ways(pack: int, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
                kind, name = of_ctypes(pack), f"MAIN.st{pack}"
                trio.from_thread.run(client.write, name, ours)
                assert plain(other.read_by_name(name, kind)) == ours
                other.write_by_name(name, fill(kind(), theirs), kind)
                assert trio.from_thread.run(client.read, name) == theirs

            both_ways()

        return with_pyads

    with trio.fail_after(60):
        async with run_flow({"nodes": {"sim": plc}, "wires": []}) as running:
            await running.wait_running("sim")
            async with own_client() as client:
                await use(compare(client))
