"""What nodes can be told beyond the symbol: names from a payload, reading back."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.constants import ErrorCode
from flowbus_ads.protocol.errors import ProtocolError

from flowbus import Message, Outcome
from flowbus.testing import run_flow

HOST = "127.0.0.49"
PLC = {
    "type": "ads-simulator", "host": HOST, "cycle": 0.002,
    "types": {"ST": {"members": {"a": "INT", "b": "REAL"}}},
    "symbols": {
        "MAIN.nCount": {"type": "DINT", "value": 7},
        "MAIN.aRecipe": {"type": "ARRAY [1..3] OF ST"},
        "MAIN.st": {"type": "ST", "value": {"a": 1, "b": 2.5}},
        "MAIN.sText": {"type": "STRING(20)"},
    },
}  # fmt: skip


def write(**options: Any) -> dict[str, Any]:
    return {
        "connections": {"plc": {"type": "ads", "host": HOST, "timeout": 0.5, "heartbeat": 0.1}},
        "nodes": {
            "do": {"type": "test-source"},
            "sim": PLC,
            "written": {"type": "test-sink"},
            "in": {"type": "test-source"},
            "write": {"type": "ads-write", "connection": "plc", **options},
        },
        "wires": [["do", "sim"], ["sim", "written"], ["in", "write"]],
    }


@pytest.mark.parametrize(
    ("payload", "written"),
    [
        ({"MAIN.aRecipe[2].a": 5}, True),
        ({"main.arecipe[2].A": 5}, True),
        ({"MAIN.aRecipe[3].a": 5}, False),
        ({"MAIN.nCount": 5}, True),
        ({"MAIN.sText": "x"}, False),
        ({"MAIN.aRecipe[2].a": 5, "MAIN.sText": "x"}, False),
    ],
)
async def test_a_payload_names_only_what_is_allowed(payload: dict[str, Any], written: bool) -> None:
    value = write(symbols=["MAIN.nCount"], allow_symbols=["MAIN.aRecipe[2].*"])
    with trio.fail_after(20):
        async with run_flow(value) as flow:
            end = await flow.put("in", Message(payload))
            assert end.outcome is (Outcome.CONFIRMED if written else Outcome.REJECTED)
            assert written or "is not among the symbols that this node may write" in end.text


async def test_some_members_are_written_and_the_others_not_touched() -> None:
    with trio.fail_after(20):
        async with run_flow(write(symbol="MAIN.st", verify=True)) as flow:
            end = await flow.put("in", Message({"b": 0.1}))  # which REAL holds but nearly
            assert end.outcome is Outcome.CONFIRMED
            message = await flow.get("written")
            assert (message.topic, round(message.payload, 6)) == ("MAIN.st.b", 0.1)


async def test_a_value_that_does_not_stay_is_not_verified_and_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = PlcMemory.write

    def stubborn(memory: PlcMemory, group: int, offset: int, value: bytes) -> ErrorCode:
        return real(memory, group, offset, b"\x01" + value[1:])

    monkeypatch.setattr(PlcMemory, "write", stubborn)
    with trio.fail_after(20):
        async with run_flow(write(symbol="MAIN.nCount", verify=True)) as flow:
            end = await flow.put("in", Message(0x0202))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ads.not_verified")
            assert "MAIN.nCount: written 514, found 513" in end.text
            assert flow.runtime.status()["nodes"]["sim"]["details"]["write_requests"] == 1


async def test_a_loss_while_reading_back_is_unconfirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SimulatedPlc.read_index
    written = False

    def silent_after_the_write(plc: SimulatedPlc, group: int, offset: int, length: int) -> Any:
        nonlocal written
        if plc.write_requests and not written:
            written = True
            raise ProtocolError("cut the connection")
        return real(plc, group, offset, length)

    monkeypatch.setattr(SimulatedPlc, "read_index", silent_after_the_write)
    with trio.fail_after(20):
        async with run_flow(write(symbol="MAIN.nCount", verify=True)) as flow:
            end = await flow.put("in", Message(9))
            assert end.outcome is Outcome.REJECTED
            assert end.code in ("ads.not_verified", "flowbus.unconfirmed")
            assert flow.runtime.status()["nodes"]["sim"]["details"]["write_requests"] == 1


