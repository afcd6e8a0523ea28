"""Faults at random moments, in any order, while a flow reads, writes, calls and subscribes.

Whatever happens, an order reaches the PLC once when it ends as confirmed, at most once when nobody
knows, and not at all when it is refused; no node fails; everything works again afterwards.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import trio

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow

pytestmark = pytest.mark.system

HOST = "127.0.0.52"
SECONDS = 6.0
TICKS = [f"GVL.nTick{number}" for number in range(30)]
FAULTS: list[tuple[str, Any, Any]] = [  # command, payload, payload that takes it back
    ("mute", True, False),
    ("drop", None, None),
    ("garbage", 1, None),
    ("oversize", 1, None),
    ("truncate", 1, None),
    ("wrong-invoke-id", 3, None),
    ("late", 0.5, None),
    ("slow", 0.3, 0),
    ("online-change", None, None),
    ("symbol-version", None, None),
    ("online-change-count", None, None),
    ("null-samples", None, None),
    ("no-sums", True, False),
    ("state", "config", "run"),
    ("burst", 200, None),
    ("single-client", True, False),
]


def plant(driver: str) -> dict[str, Any]:
    method = {"parameters": {"nOrder": "DINT"}, "returns": "BOOL", "result": True}
    plc = {
        "type": "ads-simulator", "host": HOST, "cycle": 0.002,
        "types": {"FB": {"members": {"n": "UDINT"}, "methods": {"Go": method}}},
        "symbols": {
            "MAIN.n": {"type": "DINT"}, "MAIN.nOrder": {"type": "DINT"}, "MAIN.fb": {"type": "FB"},
            **{name: {"type": "UDINT", "behaviour": "counter", "period": 0.05} for name in TICKS},
        },
    }  # fmt: skip
    own = {
        "read": {"type": "ads-read", "symbols": ["MAIN.n", *TICKS]},
        "write": {"type": "ads-write", "symbol": "MAIN.nOrder"},
        "call": {"type": "ads-rpc", "symbol": "MAIN.fb", "method": "Go"},
        "subscribe": {"type": "ads-subscribe", "symbols": ["MAIN.n", *TICKS], "cycle_time": 0.01},
    }
    orders = ("read", "write", "call")
    return {
        "connections": {
            "plc": {"type": "ads", "host": HOST, "timeout": 0.3, "heartbeat": 0.1, "driver": driver}
        },
        "nodes": {
            "plc": plc,
            **{name: {"connection": "plc", **node} for name, node in own.items()},
            **{f"to-{name}": {"type": "test-source"} for name in (*orders, "plc")},
            **{f"from-{name}": {"type": "test-sink"} for name in ("read", "call", "subscribe", "plc")},
        },
        "wires": [
            *([f"to-{name}", name] for name in (*orders, "plc")),
            *([name, f"from-{name}"] for name in ("read", "call", "subscribe", "plc")),
        ],
    }


async def command(flow: Flow, name: str, payload: Any) -> None:
    end = await flow.put("to-plc", Message(payload, headers={"command": name}))
    assert end.outcome is Outcome.CONFIRMED, end


async def disturb(flow: Flow, rng: random.Random, end: float) -> None:
    while trio.current_time() < end:
        await trio.sleep(rng.uniform(0, 0.4))
        name, on, off = rng.choice(FAULTS)
        await command(flow, name, on)
        if off is not None:
            await trio.sleep(rng.uniform(0, 0.8))
            await command(flow, name, off)


async def order(flow: Flow, node: str, wrap: Any, end: float, ends: dict[int, Any]) -> None:
    while trio.current_time() < end:
        number = len(ends) + 1
        ends[number] = await flow.put(node, Message(wrap(number)))


@pytest.mark.parametrize("driver", ["native", "pyads"])
async def test_faults_at_random_moments(driver: str) -> None:
    rng = random.Random(20)
    reads: dict[int, Any] = {}
    writes: dict[int, Any] = {}
    calls: dict[int, Any] = {}
    with trio.fail_after(60):
        async with run_flow(plant(driver)) as flow:
            await flow.wait_running()
            end = trio.current_time() + SECONDS
            async with trio.open_nursery() as nursery:
                nursery.start_soon(disturb, flow, rng, end)
                nursery.start_soon(order, flow, "to-read", lambda number: None, end, reads)
                nursery.start_soon(order, flow, "to-write", lambda number: number, end, writes)
                nursery.start_soon(
                    order, flow, "to-call", lambda number: {"nOrder": number}, end, calls
                )
            await flow.wait_running()
            await flow.put("to-plc", Message(4242, "MAIN.n"))
            while (await flow.get("from-subscribe")).payload != 4242:
                pass
            assert (await flow.put("to-write", Message(-1))).outcome is Outcome.CONFIRMED
            await flow.wait_settled()
            seen = flow.got("from-plc")
            told = {code for node in flow.report()["nodes"].values() for code in node["faults"]}
    assert told <= {"flowbus.unconfirmed", "flowbus.expired", "ads.0x0711"}
    assert all(one.outcome is Outcome.CONFIRMED for one in reads.values())
    _agree(writes, Counter(m.payload for m in seen if m.topic == "MAIN.nOrder"))
    _agree(calls, Counter(m.payload["nOrder"] for m in seen if m.topic == "MAIN.fb#Go"))


def _agree(ends: dict[int, Any], seen: Counter[int]) -> None:
    """Hold what became of each order against what the PLC has seen."""
    assert len(ends) > 20
    for number, end in ends.items():
        if end.outcome is Outcome.CONFIRMED:
            assert seen[number] == 1, (number, end)
        elif end.code == "flowbus.unconfirmed":
            assert seen[number] <= 1, (number, end)
        else:
            assert seen[number] == 0, (number, end)
