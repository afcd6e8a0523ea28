"""The nodes in a running flow, against the simulator node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.server import PlcServer

from flowbus import ConfigError, Message, Outcome, Quality, State
from flowbus.testing import Flow, run_flow

HOST = "127.0.0.41"
SYMBOLS = {
    "MAIN.nCount": {"type": "DINT", "value": 7},
    "MAIN.rValue": {"type": "LREAL", "value": 1.5},
    "MAIN.sText": {"type": "STRING(20)", "value": "hällo"},
}


def flow(nodes: Mapping[str, Any], wires: list[Any], **connection: Any) -> dict[str, Any]:
    """A simulator `sim` with its outputs, a connection `plc`, a source `do` that commands the PLC."""
    return {
        "connections": {
            "plc": {"type": "ads", "host": HOST, "timeout": 0.3, "heartbeat": 0.05, **connection}
        },
        "nodes": {
            "sim": {"type": "ads-simulator", "host": HOST, "symbols": SYMBOLS, "cycle": 0.002},
            "do": {"type": "test-source"},
            "written": {"type": "test-sink"},
            **nodes,
        },
        "wires": [["do", "sim"], ["sim", "written"], *wires],
    }


def reader(**options: Any) -> dict[str, Any]:
    return flow(
        {
            "in": {"type": "test-source"},
            "read": {"type": "ads-read", "connection": "plc", **options},
            "out": {"type": "test-sink"},
        },
        [["in", "read"], ["read", "out"]],
    )


def writer(**options: Any) -> dict[str, Any]:
    return flow(
        {
            "in": {"type": "test-source"},
            "write": {"type": "ads-write", "connection": "plc", **options},
        },
        [["in", "write"]],
    )


def subscriber(**options: Any) -> dict[str, Any]:
    return flow(
        {
            "sub": {"type": "ads-subscribe", "connection": "plc", "cycle_time": 0.002, **options},
            "out": {"type": "test-sink"},
        },
        [["sub", "out"]],
    )


async def command(running: Flow, name: str, payload: Any = None) -> None:
    end = await running.put("do", Message(payload, headers={"command": name}))
    assert end.outcome is Outcome.CONFIRMED


async def get_until(running: Flow, payload: Any) -> Message:
    while True:
        message = await running.get("out")
        if message.payload == payload:
            return message


async def test_read_one_symbol() -> None:
    with trio.fail_after(20):
        async with run_flow(reader(symbol="MAIN.nCount")) as running:
            assert (await running.put("in", Message("go", "here"))).outcome is Outcome.CONFIRMED
            message = await running.get("out")
            assert (message.payload, message.topic) == (7, "here")
            assert "RUN" in running.status("plc").text


async def test_read_several_symbols_one_of_which_is_missing() -> None:
    with trio.fail_after(20):
        symbols = ["MAIN.nCount", "MAIN.nope", {"group": 0x4020, "offset": 0, "type": "INT"}]
        async with run_flow(reader(symbols=symbols)) as running:
            running.put_soon("in", Message(None))
            message = await running.get("out")
            assert message.payload == {"MAIN.nCount": 7, "MAIN.nope": None, "0x4020:0": 0}
            assert message.quality is Quality.UNCERTAIN
            assert message.headers["faults"]["MAIN.nope"]["code"] == "ads.0x0710"


@pytest.mark.parametrize(
    ("options", "message", "payload"),
    [
        ({"symbol": "MAIN.{topic}"}, Message(None, "nCount"), 7),
        ({"symbol": "{payload.of}"}, Message({"of": "MAIN.rValue"}), 1.5),
        (
            {"symbols": ["MAIN.{topic}", "MAIN.sText"]}, Message(None, "nCount"),
            {"MAIN.nCount": 7, "MAIN.sText": "hällo"},
        ),
    ],
)  # fmt: skip
async def test_a_message_says_which_symbol(options: Any, message: Message, payload: Any) -> None:
    with trio.fail_after(20):
        async with run_flow(reader(**options)) as running:
            assert (await running.put("in", message)).outcome is Outcome.CONFIRMED
            assert (await running.get("out")).payload == payload


async def test_a_message_that_names_no_symbol_is_rejected() -> None:
    with trio.fail_after(20):
        async with run_flow(reader(symbol="MAIN.{payload.of}")) as running:
            end = await running.put("in", Message({"for": "nCount"}))
            assert end.outcome is Outcome.REJECTED
            assert "payload.of" in end.text
            end = await running.put("in", Message({"of": "nope"}))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ads.0x0710")


async def test_reading_an_unknown_symbol_rejects_the_message() -> None:
    with trio.fail_after(20):
        async with run_flow(reader(symbol="MAIN.nope")) as running:
            end = await running.put("in", Message(None))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "ads.0x0710")
            assert "MAIN.nope" in end.text


async def test_read_on_a_period() -> None:
    nodes = {
        "read": {"type": "ads-read", "connection": "plc", "symbol": "MAIN.nCount", "every": 0.01},
        "out": {"type": "test-sink"},
    }
    with trio.fail_after(20):
        async with run_flow(flow(nodes, [["read", "out"]])) as running:
            for _ in range(3):
                message = await running.get("out")
                assert (message.payload, message.topic) == (7, "MAIN.nCount")
            await running.put("do", Message(8, "MAIN.nCount"))
            await get_until(running, 8)


async def test_write_is_confirmed_by_the_plc() -> None:
    with trio.fail_after(20):
        async with run_flow(writer(symbol="MAIN.rValue")) as running:
            assert (await running.put("in", Message(2.5))).outcome is Outcome.CONFIRMED
            message = await running.get("written")
            assert (message.topic, message.payload) == ("MAIN.rValue", 2.5)


@pytest.mark.parametrize(
    ("symbol", "payload", "code"),
    [
        ("MAIN.nCount", "text", "ads.bad_value"),
        ("MAIN.nCount", 2**31, "ads.bad_value"),
        ("MAIN.sText", "x" * 21, "ads.bad_value"),
        ("MAIN.nope", 1, "ads.0x0710"),
    ],
)
async def test_a_write_that_cannot_be_is_rejected(symbol: str, payload: Any, code: str) -> None:
    with trio.fail_after(20):
        async with run_flow(writer(symbol=symbol)) as running:
            end = await running.put("in", Message(payload))
            assert (end.outcome, end.code) == (Outcome.REJECTED, code)
            assert symbol in end.text
            assert running.got("written") == []


async def test_write_an_object() -> None:
    with trio.fail_after(20):
        async with run_flow(writer(symbols=["MAIN.nCount", "MAIN.sText"])) as running:
            end = await running.put("in", Message({"MAIN.nCount": 5, "MAIN.sText": "ok"}))
            assert end.outcome is Outcome.CONFIRMED
            written = [await running.get("written") for _ in range(2)]
            assert [m.payload for m in written] == [5, "ok"]


@pytest.mark.parametrize("payload", [{"MAIN.rValue": 1.0}, {}, 5, {"MAIN.nCount": 1, "x": 2}])
async def test_a_payload_cannot_name_other_symbols(payload: Any) -> None:
    with trio.fail_after(20):
        async with run_flow(writer(symbols=["MAIN.nCount"])) as running:
            end = await running.put("in", Message(payload))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.rejected")
            assert running.got("written") == []


async def test_a_write_that_the_plc_does_not_answer_is_unconfirmed_and_not_repeated() -> None:
    with trio.fail_after(20):
        async with run_flow(writer(symbol="MAIN.nCount")) as running:
            assert (await running.put("in", Message(1))).outcome is Outcome.CONFIRMED
            await command(running, "mute")
            end = await running.put("in", Message(2))
            assert (end.outcome, end.code) == (Outcome.REJECTED, "flowbus.unconfirmed")
            await running.wait_code("plc", "ads.mute")
            await command(running, "mute", False)
            await running.wait_running("plc", "write")
            assert (await running.put("in", Message(3))).outcome is Outcome.CONFIRMED
            payloads = [(await running.get("written")).payload for _ in range(3)]
            assert payloads == [1, 2, 3]
            assert running.got("written") == []


async def test_with_retry_an_unanswered_write_is_repeated() -> None:
    with trio.fail_after(20):
        async with run_flow(writer(symbol="MAIN.nCount", retry=True)) as running:
            await running.put("in", Message(1))
            await command(running, "mute")
            running.put_soon("in", Message(2))
            await running.wait_code("plc", "ads.mute")
            await command(running, "mute", False)
            await running.wait_running("plc", "write")
            assert (await running.put("in", Message(3))).outcome is Outcome.CONFIRMED
            payloads = [m.payload for m in running.got("written")]
            assert payloads[0] == 1
            assert payloads[-1] == 3
            assert payloads.count(2) >= 2


async def test_a_stopped_plc_degrades_the_connection() -> None:
    with trio.fail_after(20):
        async with run_flow(subscriber(symbols=["MAIN.nCount"])) as running:
            await running.wait_running()
            await command(running, "state", "stop")
            await running.wait_code("plc", "ads.not_running")
            await command(running, "state", "run")
            await running.wait_running("plc")


async def test_the_wrong_ams_port_says_so() -> None:
    value = reader(symbol="MAIN.nCount")
    value["connections"]["plc"]["port"] = 852
    with trio.fail_after(20):
        async with run_flow(value) as running:
            status = await running.wait_code("plc", "ads.0x0006")
            assert status.state is State.WAITING


async def test_two_connections_share_one_tcp_connection() -> None:
    value = reader(symbol="MAIN.nCount")
    value["connections"]["system"] = {**value["connections"]["plc"], "port": 10000}
    with trio.fail_after(20):
        async with run_flow(value) as running:
            await running.wait_running()
            await command(running, "single-client")
            assert (await running.put("in", Message(1))).outcome is Outcome.CONFIRMED
            assert running.status("system").state is State.RUNNING


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message(1, headers={"command": "explode"}), "one of mute"),
        (Message("x", headers={"command": "slow"}), "slow"),
        (Message(1, "MAIN.nope"), "no symbol"),
        (Message("x", "MAIN.nCount"), "whole number"),
        (Message({"MAIN.nope": 1}), "no symbol"),
    ],
)
async def test_what_the_simulator_does_not_understand_is_rejected(
    message: Message, text: str
) -> None:
    with trio.fail_after(20):
        async with run_flow(reader(symbol="MAIN.nCount")) as running:
            end = await running.put("do", message)
            assert end.outcome is Outcome.REJECTED
            assert text in end.text


async def test_an_object_sets_several_values_of_the_simulator() -> None:
    with trio.fail_after(20):
        async with run_flow(reader(symbols=["MAIN.nCount", "MAIN.sText"])) as running:
            await running.put("do", Message({"MAIN.nCount": 1, "MAIN.sText": "x"}))
            running.put_soon("in", Message(None))
            assert (await running.get("out")).payload == {"MAIN.nCount": 1, "MAIN.sText": "x"}


@pytest.mark.parametrize(
    ("where", "change", "text"),
    [
        (("nodes", "read"), {"symbol": None, "symbols": []}, "symbol"),
        (("nodes", "sim"), {"symbols": {"MAIN.x": {"type": "ST_X"}}}, "MAIN.x"),
        (("nodes", "sim"), {"symbols": {"MAIN.x": {"type": "INT", "value": "a"}}}, "MAIN.x"),
        (
            ("nodes", "sim"),
            {"symbols": {"M.x": {"type": "INT", "behaviour": "echo", "of": "M.y"}}},
            "M.y",
        ),
        (("connections", "plc"), {"net_id": "1.2.3"}, "NetId"),
        (
            ("nodes", "read"), {"symbol": {"group": 1, "offset": 2, "type": "INT", "length": 2}},
            "either `type` or `length`",
        ),
        (("connections", "plc"), {"tcp_port": 8016}, "Secure ADS, which is not offered"),
        (("connections", "plc"), {"host": "mqtt://broker"}, "ADS over MQTT is not offered"),
        (("nodes", "read"), {"symbol": "MAIN.{topic}", "every": 1}, "names a part of a message"),
        (("nodes", "read"), {"symbol": "MAIN.{topic"}, "symbol|brace"),
    ],
)
async def test_wrong_options_are_refused_by_check(
    where: tuple[str, str], change: dict[str, Any], text: str
) -> None:
    value = reader(symbol="MAIN.nCount")
    value[where[0]][where[1]].update(change)
    with pytest.raises(ConfigError, match=text):
        async with run_flow(value):
            pass


async def test_a_plc_that_vanishes_and_returns() -> None:
    """The whole PLC goes, its address refuses; another one comes up with other handles."""
    host = "127.0.0.43"
    value = {
        "connections": {"plc": {"type": "ads", "host": host, "timeout": 0.3}},
        "nodes": {
            "sub": {
                "type": "ads-subscribe", "connection": "plc", "symbols": ["MAIN.nCount"],
                "cycle_time": 0.002,
            },
            "out": {"type": "test-sink"},
            "in": {"type": "test-source"},
            "write": {"type": "ads-write", "connection": "plc", "symbol": "MAIN.nCount"},
        },
        "wires": [["sub", "out"], ["in", "write"]],
    }  # fmt: skip

    def server(count: int, first_handle: int) -> PlcServer:
        memory = PlcMemory()
        memory.add("MAIN.nCount", "DINT", count)
        net_id = parse_net_id(f"{host}.1.1")
        return PlcServer(SimulatedPlc(net_id, 851, memory, first_handle=first_handle), cycle=0.002)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            stop_first = await nursery.start(serve_until_stopped, server(1, 0x1000), host)
            async with run_flow(value) as running:
                await get_until(running, 1)
                assert (await running.put("in", Message(2))).outcome is Outcome.CONFIRMED
                stop_first.cancel()
                await running.wait_code("plc", "ads.connection_refused")
                assert running.status("write").state is State.WAITING
                running.put_soon("in", Message(6))  # waits for the PLC
                second = server(5, 0x9000)
                stop_second = await nursery.start(serve_until_stopped, second, host)
                await get_until(running, 6)
                assert second.plc.write_requests == 1
                await running.wait_running("plc", "sub", "write")
                stop_second.cancel()


async def serve_until_stopped(
    server: PlcServer, host: str, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, host, 48898)
            task_status.started(scope)
