"""The hierarchy of a simulated system of two EtherCAT devices with forty terminals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from flowbus_ads import faults, iofacts
from flowbus_ads.client import AdsClient
from flowbus_ads.iotree import IoServer
from flowbus_ads.link import AmsLink, open_link
from flowbus_ads.plc.iooptions import product_code
from flowbus_ads.server import PlcServer
from flowbus_ads.simulator import AdsSimulator, build_plcs
from flowbus_ads.simulatorcommands import apply

from flowbus import Message, Outcome, Rejected
from flowbus.testing import run_flow

HOST, NET_ID = "127.0.0.60", "5.60.0.1.1.1"
TYPES = ["EK1100", *["EL1008", "EL2008", "EL3064"] * 6, "EK1110"]
"""Twenty terminals."""
DEVICES = [
    {"terminals": TYPES},
    {
        "name": "Sensors", "id": 7, "net_id": "5.60.0.1.9.1", "type": 111, "state": "SAFEOP",
        "terminals": [
            {"type": "EK1100", "name": "Coupler", "address": 2001, "serial": 77, "state": "PREOP"},
            *["EL3202"] * 18,
            {"type": "XYZ", "vendor": 5, "product": 6, "revision": 7, "serial": 8},
        ],
    },
]  # fmt: skip


def config(**options: Any) -> dict[str, Any]:
    return {"host": HOST, "net_id": NET_ID, "io": DEVICES, **options}


@asynccontextmanager
async def system(timeout: float = 2.0, **options: Any) -> AsyncIterator[tuple[PlcServer, AmsLink, IoServer]]:
    """A simulated system and an I/O server client of it."""
    (plc,) = build_plcs(msgspec.convert(config(**options), AdsSimulator))
    server = PlcServer(plc)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(server.serve, HOST, 0)
            async with open_link(HOST, port, connect_timeout=2.0) as link:
                client = AdsClient(link, NET_ID, 851, timeout=timeout)
                yield server, link, IoServer(client.target)
            nursery.cancel_scope.cancel()


def order(server: PlcServer, command: str, payload: Any) -> None:
    apply(server, Message(payload, headers={"command": command}))


async def test_every_field_of_the_hierarchy() -> None:
    async with system() as (_, link, io):
        tree = await io.tree()
        assert link.requests == 4 + 2 * 3
    assert tree["server"] == {
        "name": "I/O Server", "version": "3.1", "build": 4024, "net_id": NET_ID, "device_count": 2,
    }  # fmt: skip
    first, second = tree["devices"]
    frames = first["frames"]
    assert list(frames) == ["system_time", "cyclic", "cyclic_lost", "queued", "queued_lost"]
    assert first == {
        "id": 1, "name": "Device 1 (EtherCAT)", "type": "EtherCAT", "type_number": 94,
        "net_id": "5.60.0.1.2.1", "state": "OP", "frames": frames,
        "identity": {"vendor": 2, "product": 0x10000, "revision": 0x30001, "serial": 1},
        "terminal_count": 20, "terminals": first["terminals"],
    }  # fmt: skip
    assert (second["id"], second["name"], second["net_id"]) == (7, "Sensors", "5.60.0.1.9.1")
    assert (second["type_number"], second["type"], second["state"]) == (111, "EtherCAT", "SAFEOP")
    for place, (type_name, terminal) in enumerate(zip(TYPES, first["terminals"], strict=True), 1):
        assert terminal == {
            "address": 1000 + place, "type": type_name, "name": f"Term {place} ({type_name})",
            "identity": {"vendor": 2, "product": product_code(type_name), "revision": 0x100000, "serial": 0},
            "state": "OP", "link": "ok", "crc": {"a": 0, "b": 0, "c": 0, "d": 0}, "crc_sum": 0,
        }  # fmt: skip
    coupler, *_, strange = second["terminals"]
    assert (coupler["name"], coupler["address"], coupler["state"]) == ("Coupler", 2001, "PREOP")
    assert coupler["identity"]["serial"] == 77
    assert [terminal["address"] for terminal in second["terminals"]] == list(range(2001, 2021))
    assert strange["identity"] == {"vendor": 5, "product": 6, "revision": 7, "serial": 8}


def test_product_codes_are_those_of_the_manuals() -> None:
    assert product_code("EL3255") == 0x0CB73052
    assert product_code("EP5151-0002") == 0x141F4052
    assert product_code("EK1100") == 0x044C2C52
    assert product_code("other") == 0


async def test_counters_move() -> None:
    async with system() as (server, _, io):
        order(server, "io-device", {"device": 7, "lost": 3, "state": "OP"})
        order(server, "io-terminal", {"terminal": 1003, "crc": {"b": 5}})
        order(server, "io-terminal", {"terminal": 1003, "crc": 2})
        one = await io.part(7, None)
        assert (one["state"], one["frames"]["cyclic_lost"]) == ("OP", 3)
        while (await io.part(7, None))["frames"]["cyclic"] == one["frames"]["cyclic"]:
            pass
        terminal = await io.part(1, 1003)
        assert (terminal["crc"], terminal["crc_sum"]) == ({"a": 2, "b": 5, "c": 0, "d": 0}, 7)


async def test_a_terminal_that_is_gone_has_its_fault_in_its_place() -> None:
    async with system() as (server, _, io):
        order(server, "io-terminal", {"terminal": 1004, "state": "INIT", "link": 1})
        terminals = (await io.tree())["devices"][0]["terminals"]
        gone = terminals[3]
        assert (gone["state"], gone["link"], gone["crc"]) == ("INIT", "not present", None)
        assert gone["type"] == "EL3064"
        assert gone["faults"]["crc"]["code"] == "ads.0x0719"
        assert gone["faults"]["crc"]["text"].startswith("CRC errors of terminal 1004: ")
        assert not [terminal for terminal in terminals if "faults" in terminal and terminal is not gone]


async def test_a_silent_terminal_does_not_silence_the_others() -> None:
    async with system(timeout=0.2) as (server, _, io):
        order(server, "io-terminal", {"terminal": 1010, "silent": True})
        first, second = (await io.tree())["devices"]
        silent = first["terminals"].pop(9)
        assert (silent["type"], silent["identity"], silent["crc"]) == ("EL3064", None, None)
        assert silent["faults"]["identity"]["code"] == faults.TIMEOUT.code
        assert all(terminal["identity"] for terminal in (*first["terminals"], *second["terminals"]))


async def test_a_silent_master_does_not_silence_the_others() -> None:
    async with system(timeout=0.2) as (server, _, io):
        order(server, "io-device", {"device": "Sensors", "silent": True})
        first, second = (await io.tree())["devices"]
        assert (len(first["terminals"]), second["terminals"]) == (20, [])
        assert (second["name"], second["terminal_count"]) == ("Sensors", None)
        assert second["fault"]["code"] == faults.TIMEOUT.code
        with pytest.raises(Rejected, match=r"device 7 does not tell its terminals: .*ads.timeout"):
            await io.part(None, "Term 99 (EL3202)")


async def test_without_sum_commands_it_is_the_same() -> None:
    async with system() as (server, _, io):
        whole = await io.tree()
        server.plc.sums_enabled = False
        alone = await io.tree()
        for tree in (whole, alone):
            for device in tree["devices"]:
                del device["frames"]
        assert whole == alone


async def test_a_device_that_is_no_master_is_told_and_left_alone() -> None:
    async with system(io=[{"name": "CX7000 I/O", "type": 65}, {"terminals": ["EK1100"]}]) as (_, _, io):
        other, master = (await io.tree())["devices"]
        assert other == {
            "id": 1, "name": "CX7000 I/O", "type": "type 65", "type_number": 65, "net_id": "5.60.0.1.2.1",
            "terminals": [],
        }  # fmt: skip
        assert len(master["terminals"]) == 1


async def test_a_master_without_terminals() -> None:
    async with system(io=[{}]) as (_, _, io):
        (device,) = (await io.tree())["devices"]
        assert (device["terminal_count"], device["terminals"]) == (0, [])


async def test_parts_by_number_and_by_name() -> None:
    async with system() as (_, _, io):
        assert (await io.part("Sensors", None))["terminal_count"] == 20
        assert len((await io.part(1, None))["terminals"]) == 20
        one = await io.part(None, 2020)
        assert (one["device"], one["type"]) == (7, "XYZ")
        assert (await io.part(7, "Coupler"))["address"] == 2001
        assert (await io.part(None, "Coupler"))["address"] == 2001


@pytest.mark.parametrize(
    ("device", "terminal", "text"),
    [
        (9, None, r"the I/O server has no device 9; there are 1 \(Device 1 \(EtherCAT\)\), 7 \(Sensors\)"),
        ("sensor", None, "the I/O server has no device 'sensor'; there are 1"),
        (7, 1001, "device 7 has no terminal at address 1001"),
        (None, 9, "the I/O devices have no terminal at address 9"),
        (7, "Term 1", r"device 7 has no terminal 'Term 1'; there are 2001 \(Coupler\), 2002"),
    ],
)
async def test_unknown_parts(device: Any, terminal: Any, text: str) -> None:
    async with system() as (_, _, io):
        with pytest.raises(Rejected, match=text):
            await io.part(device, terminal)


async def test_a_name_that_two_devices_have_is_refused() -> None:
    async with system(io=[{"terminals": ["EK1100"]}, {"terminals": ["EK1100"]}]) as (_, _, io):
        with pytest.raises(Rejected, match=r"several terminals 1001 \(in device 1, 2\)"):
            await io.part(None, 1001)
        assert (await io.part(2, 1001))["device"] == 2


async def test_a_plc_without_an_io_server_says_so() -> None:
    async with system(io=[]) as (_, _, io):
        with pytest.raises(Rejected, match="I/O server: ERR_TARGETPORTNOTFOUND"):
            await io.tree()


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ([{"id": 2}, {}], "two I/O devices have the id 2"),
        ([{"net_id": "5.60.0.1.3.1"}, {}], "I/O device 2 has a NetId that another has"),
        ([{"net_id": NET_ID}], "I/O device 1 has a NetId that another has"),
        ([{"type": 65, "terminals": ["EL1008"]}], "has terminals and is no EtherCAT master"),
        ([{"terminals": ["EL1008", {"type": "EL1008", "address": 1001}]}], "two terminals have the address 1001"),
        ([{"terminals": [{"type": "EL1008", "address": 65535}, "EL1008"]}], "go beyond 65535"),
    ],
)
def test_a_declaration_that_cannot_be(devices: list[Any], text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert(config(io=devices), AdsSimulator)


@pytest.mark.parametrize(
    ("command", "payload", "text"),
    [
        ("io-terminal", "x", "an object with crc, device"),
        ("io-terminal", {"terminal": 5}, "there is no terminal 5"),
        ("io-terminal", {"terminal": 1001, "state": "FLY"}, "'FLY' is no state"),
        ("io-terminal", {"terminal": 1001, "link": -1}, "-1 is no link state"),
        ("io-terminal", {"terminal": 1001, "crc": {"e": 1}}, "'e' is no port"),
        ("io-terminal", {"terminal": 1001, "crc": "many"}, "'many' is no count"),
        ("io-terminal", {"terminal": 1001, "silent": 1}, "1 is neither true nor false"),
        ("io-terminal", {"terminal": 1001, "colour": 1}, "unknown 'colour'"),
        ("io-device", {"device": 3}, "there is no I/O device 3"),
        ("io-device", {"device": True}, "there is no I/O device True"),
    ],
)
async def test_commands_that_cannot_be(command: str, payload: Any, text: str) -> None:
    async with system() as (server, _, _):
        with pytest.raises(Rejected, match=text):
            order(server, command, payload)
    async with system(io=[]) as (server, _, _):
        with pytest.raises(Rejected, match="has no I/O devices"):
            order(server, command, payload)


def test_what_was_not_told_is_none_and_says_why() -> None:
    no = Rejected(faults.BAD_ANSWER, "no")
    said = {"code": "ads.bad_answer", "text": "no"}
    onboard = iofacts.head(3, "CX7000 I/O", no, no)
    assert onboard == {
        "id": 3, "name": "CX7000 I/O", "type": None, "net_id": None, "type_number": None,
        "faults": {"type": said, "net_id": said},
    }  # fmt: skip
    assert not iofacts.is_master(onboard)
    look = iofacts.Look([1001], no, no, no, no, no)
    assert iofacts.master(look) == {
        "identity": None, "state": None, "frames": None, "terminal_count": 1,
        "faults": {"identity": said, "state": said, "frames": said},
    }  # fmt: skip
    assert iofacts.terminal(look, 0, {"name": "Term 1"}) == {
        "address": 1001, "name": "Term 1", "state": None, "link": None, "crc_sum": None,
        "faults": {"state": said, "link": said, "crc_sum": said},
    }  # fmt: skip


# ---- in a flow


def flow(nodes: Mapping[str, Any], wires: list[Any]) -> dict[str, Any]:
    return {
        "connections": {"plc": {"type": "ads", "host": HOST, "net_id": NET_ID, "timeout": 0.5}},
        "nodes": {
            "sim": {"type": "ads-simulator", **config()}, "do": {"type": "test-source"},
            "out": {"type": "test-sink"}, **nodes,
        },
        "wires": [["do", "sim"], *wires],
    }  # fmt: skip


async def test_a_flow_asks_for_the_tree_and_for_parts() -> None:
    nodes = {"in": {"type": "test-source"}, "tree": {"type": "ads-io-tree", "connection": "plc"}}
    with trio.fail_after(20):
        async with run_flow(flow(nodes, [["in", "tree"], ["tree", "out"]])) as running:
            assert (await running.put("in", Message("now", "io"))).outcome is Outcome.CONFIRMED
            message = await running.get("out")
            assert message.topic == "io"
            assert [len(device["terminals"]) for device in message.payload["devices"]] == [20, 20]
            running.put_soon("in", Message({"device": "Sensors", "terminal": 2002}))
            assert (await running.get("out")).payload["name"] == "Term 2 (EL3202)"
            running.put_soon("in", Message({"terminal": 1002}))
            assert (await running.get("out")).payload["device"] == 1
            for payload, text in (
                ({"terminal": 1}, "no terminal at address 1"),
                ({"device": True}, "device is a name or a number (its id), not True"),
                ({"device": 1, "slot": 2}, "unknown 'slot'"),
            ):
                end = await running.put("in", Message(payload))
                assert end.outcome is Outcome.REJECTED
                assert text in end.text


async def test_a_question_outlives_the_connection() -> None:
    nodes = {"in": {"type": "test-source"}, "tree": {"type": "ads-io-tree", "connection": "plc"}}

    async def order(name: str, payload: Any = None) -> None:
        await running.put("do", Message(payload, headers={"command": name}))

    with trio.fail_after(20):
        async with run_flow(flow(nodes, [["in", "tree"], ["tree", "out"]])) as running:
            await running.wait_running("plc")
            await order("mute")
            running.put_soon("in", Message(None))
            await order("drop")
            await order("mute", False)
            assert len((await running.get("out")).payload["devices"]) == 2
