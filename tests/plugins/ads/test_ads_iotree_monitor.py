"""What ``ads-io-monitor`` sends as the devices and terminals of a simulated system change."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from flowbus_ads.iowatch import _rate
from flowbus_ads.protocol.iotree import Frames

from flowbus import Message, Outcome, Quality, State
from flowbus.testing import Flow, run_flow

HOST, NET_ID = "127.0.0.62", "5.62.0.1.1.1"
IO = [
    {"terminals": ["EK1100", "EL1008", "EL3064"]},
    {"name": "Sensors", "id": 7, "terminals": ["EK1100", "EL3202"]},
]


def flow(io: list[Any] | None = None, **options: Any) -> dict[str, Any]:
    return {
        "connections": {"plc": {"type": "ads", "host": HOST, "net_id": NET_ID, "timeout": 0.2}},
        "nodes": {
            "sim": {"type": "ads-simulator", "host": HOST, "net_id": NET_ID, "io": IO if io is None else io},
            "do": {"type": "test-source"},
            "watch": {"type": "ads-io-monitor", "connection": "plc", "every": 0.02, **options},
            "out": {"type": "test-sink"},
        },
        "wires": [["do", "sim"], ["watch", "out"]],
    }  # fmt: skip


async def order(running: Flow, command: str, payload: Any) -> None:
    end = await running.put("do", Message(payload, headers={"command": command}))
    assert end.outcome is Outcome.CONFIRMED


async def test_changes_are_sent_and_nothing_else() -> None:
    with trio.fail_after(20):
        async with run_flow(flow()) as running:
            first, second = await running.get("out"), await running.get("out")
            assert (first.topic, second.topic) == ("Device 1 (EtherCAT)", "Sensors")
            assert first.quality is Quality.GOOD
            frames = first.payload.pop("frames")
            assert frames["cyclic_per_s"] is None
            none = {"a": 0, "b": 0, "c": 0, "d": 0}
            terminal = {"state": "OP", "link": "ok", "crc_sum": 0, "crc": none}
            assert first.payload == {
                "id": 1, "name": "Device 1 (EtherCAT)", "state": "OP", "terminal_count": 3,
                "terminals": [
                    {"address": 1001, "name": "Term 1 (EK1100)", **terminal},
                    {"address": 1002, "name": "Term 2 (EL1008)", **terminal},
                    {"address": 1003, "name": "Term 3 (EL3064)", **terminal},
                ],
                "changed": [],
            }  # fmt: skip
            await order(running, "io-terminal", {"device": 1, "terminal": 1003, "state": 0x14, "link": 0x24})
            message = await running.get("out")
            assert message.payload["changed"] == [1003]
            third = message.payload["terminals"][2]
            assert (third["state"], third["link"]) == ("SAFEOP, error", "missing link, port b")
            await order(running, "io-terminal", {"device": 1, "terminal": 1002, "crc": {"c": 4}})
            message = await running.get("out")
            assert message.payload["changed"] == [1002]
            second_one = message.payload["terminals"][1]
            assert (second_one["crc_sum"], second_one["crc"]) == (4, {**none, "c": 4})
            await order(running, "io-device", {"device": 7, "lost": 2})
            message = await running.get("out")
            assert (message.topic, message.payload["changed"]) == ("Sensors", [])
            assert message.payload["frames"]["cyclic_lost"] == 2
            await order(running, "io-device", {"device": 7, "state": "SAFEOP"})
            assert (await running.get("out")).payload["state"] == "SAFEOP"
            assert not running.got("out")


async def test_always_sends_every_look_with_rates() -> None:
    with trio.fail_after(20):
        async with run_flow(flow(send="always", device=1)) as running:
            first, second, third = [await running.get("out") for _ in range(3)]
            assert {message.topic for message in (first, second, third)} == {"Device 1 (EtherCAT)"}
            assert third.payload["frames"]["cyclic"] > second.payload["frames"]["cyclic"]
            assert third.payload["frames"]["cyclic_per_s"] > 0
            assert third.payload["frames"]["queued_per_s"] >= 0
            assert third.payload["changed"] == []


async def test_a_device_that_falls_silent_is_told_and_the_other_goes_on() -> None:
    with trio.fail_after(20):
        async with run_flow(flow()) as running:
            await running.get("out")
            await running.get("out")
            await order(running, "io-device", {"device": 7, "silent": True})
            message = await running.get("out")
            assert message.quality is Quality.BAD
            assert (message.topic, message.payload["fault"]["code"]) == ("Sensors", "ads.timeout")
            assert (await running.wait_code("watch", "ads.timeout")).state is State.DEGRADED
            await order(running, "io-terminal", {"terminal": "Term 2 (EL1008)", "crc": 1})
            assert (await running.get("out")).payload["changed"] == [1002]
            await order(running, "io-device", {"device": 7, "silent": False})
            message = await running.get("out")
            assert (message.topic, message.quality) == ("Sensors", Quality.GOOD)
            await running.wait_running("watch")


async def test_a_terminal_that_does_not_tell_its_counters() -> None:
    with trio.fail_after(20):
        async with run_flow(flow(device="Sensors")) as running:
            await running.get("out")
            await order(running, "io-terminal", {"device": 7, "terminal": 1002, "link": 1, "crc": 9})
            message = await running.get("out")
            assert message.quality is Quality.UNCERTAIN
            gone = message.payload["terminals"][1]
            assert (gone["link"], gone["crc"], gone["crc_sum"]) == ("not present", None, 9)
            assert gone["faults"]["crc"]["code"] == "ads.0x0719"
            await order(running, "io-terminal", {"device": 7, "terminal": 1002, "link": 0})
            back = await running.get("out")
            while back.payload["terminals"][1]["crc"] is None:
                back = await running.get("out")
            assert back.payload["terminals"][1]["crc"]["a"] == 9


@pytest.mark.parametrize(
    ("io", "options", "text"),
    [
        (None, {"device": 3}, "the I/O server has no device 3; there are 1 (Device 1 (EtherCAT)), 7 (Sensors)"),
        ([{"type": 65}], {"device": 1}, "device 1 is no EtherCAT master"),
        ([{"type": 65}], {}, "the I/O server has no EtherCAT master"),
    ],
)
async def test_nothing_to_watch_is_said(io: list[Any] | None, options: dict[str, Any], text: str) -> None:
    with trio.fail_after(20):
        async with run_flow(flow(io, **options)) as running:
            status = await running.wait_state("watch", State.DEGRADED)
            assert status.text == text


def test_a_rate_over_a_wrap_and_over_a_reset() -> None:
    before = (10.0, Frames(0, (1 << 32) - 50, 0, 700, 0))
    now = Frames(0, 50, 0, 3, 0)
    assert _rate(before, 12.0, now, "cyclic") == 50.0
    assert _rate(before, 12.0, now, "queued") is None
    assert _rate(None, 12.0, now, "cyclic") is None
