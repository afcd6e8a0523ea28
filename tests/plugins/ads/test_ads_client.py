"""The client against the simulated PLC: values, and the device itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from flowbus_ads.addresses import IndexAddress
from flowbus_ads.client import AdsClient
from flowbus_ads.errors import AdsError
from flowbus_ads.link import AmsLink
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.plc.typedefs import MethodOptions, Program, TypeOptions
from flowbus_ads.protocol.constants import AdsState, Group

from flowbus import Rejected

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]


async def test_every_type_is_read(connect: Connect) -> None:
    with trio.fail_after(10):
        async with connect() as (_, client):
            names = ["bFlag", "nCount", "rValue", "sText", "wText", "aValues", "aValues[2]"]
            values = await client.read_many([f"MAIN.{name}" for name in names])
            assert values == [True, 7, 1.5, "hällo", "Ωmega", [1, 2, 3, 4], 4]
            for name, value in zip(names, values, strict=True):
                assert await client.read(f"MAIN.{name}") == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAIN.bFlag", False), ("MAIN.nCount", -5), ("MAIN.rValue", 2.25), ("MAIN.sText", "äöü€"),
        ("MAIN.wText", "日本"), ("MAIN.aValues", [9, 8, 7, 6]), ("MAIN.aValues[0]", 55),
    ],
)  # fmt: skip
async def test_every_type_is_written(
    connect: Connect, plc: SimulatedPlc, name: str, value: Any
) -> None:
    with trio.fail_after(10):
        async with connect() as (_, client):
            await client.write(name, value)
            assert plc.memory.value(name) == value
            assert await client.read(name) == value
    assert plc.write_requests == 1


async def test_a_function_block_is_written_by_its_members_only(
    memory: PlcMemory, plc: SimulatedPlc, connect: Connect
) -> None:
    block = TypeOptions(members={"n": "INT", "sub": "ST"}, methods={"Go": MethodOptions()})
    types = {"FB": block, "ST": TypeOptions(members={"a": "INT", "b": "LREAL"})}
    memory.program = Program(types)
    place = memory.add("MAIN.fb", "FB")
    memory.write(place.group, place.offset, b"\xaa" * 8)
    value = {"n": 1, "sub": {"a": 2, "b": 2.5}}
    with trio.fail_after(10):
        async with connect() as (_, client):
            await client.write("MAIN.fb", value)
            assert await client.read("MAIN.fb") == value
    assert memory.raw(place)[:8] == b"\xaa" * 8
    assert {name for name, _ in plc.writes} <= {"MAIN.fb.n", "MAIN.fb.sub"}


async def test_index_addresses(connect: Connect) -> None:
    address = IndexAddress(group=Group.MEMORY_BYTE, offset=8, type="REAL")
    with trio.fail_after(10):
        async with connect() as (_, client):
            await client.write(address, 1.25)
            assert await client.read_many([address, "MAIN.nCount"]) == [1.25, 7]


async def test_bytes_as_they_are(connect: Connect, plc: SimulatedPlc) -> None:
    address = IndexAddress(group=Group.MEMORY_BYTE, offset=8, length=3)
    with trio.fail_after(10):
        async with connect() as (_, client):
            await client.write(address, b"\x01\x02\xff")
            assert await client.read(address) == b"\x01\x02\xff"
            await client.write(address, [255, 0, 7])
            assert await client.read_many([address, "MAIN.nCount"]) == [b"\xff\0\x07", 7]
            for bad in (b"\0\0", [1, 2, 256], [1, 2], "abc", 5):
                with pytest.raises(Rejected, match=r"ads.bad_value"):
                    await client.write(address, bad)
    assert plc.write_requests == 2


async def test_what_does_not_fit_never_leaves(connect: Connect, plc: SimulatedPlc) -> None:
    with trio.fail_after(10):
        async with connect() as (_, client):
            for name, value in (
                ("MAIN.nCount", 2**31),
                ("MAIN.sText", "x" * 21),
                ("MAIN.bFlag", "on"),
            ):
                with pytest.raises(Rejected, match=f"ads.bad_value: {name}"):
                    await client.write(name, value)
    assert plc.write_requests == 0


async def test_an_unknown_symbol_costs_only_itself(connect: Connect) -> None:
    with trio.fail_after(10):
        async with connect() as (_, client):
            good, bad = await client.read_many(["MAIN.nCount", "MAIN.nope"])
            assert good == 7
            assert isinstance(bad, AdsError)
            assert (bad.number, bad.layer) == (0x710, "device")
            with pytest.raises(AdsError, match=r"ads.0x0710: symbol MAIN.nope"):
                await client.read("MAIN.nope")


async def test_the_router_s_refusal_is_told_apart(connect: Connect) -> None:
    with trio.fail_after(10):
        async with connect() as (link, client):
            target = client.target
            other = type(target)(link, target.address[:6] + b"\x54\x03", target.source, 1.0)
            with pytest.raises(AdsError) as caught:
                await other.read(Group.DATA, 0, 1)
            assert (caught.value.number, caught.value.layer) == (6, "router")


async def test_several_values_are_written_in_one_request(
    connect: Connect, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (link, client):
            values = {"MAIN.nCount": 1, "MAIN.rValue": 2.5, "MAIN.sText": "x"}
            await (await client.prepare(values)).send()
            before = link.requests
            await (await client.prepare(values)).send()
            assert link.requests == before + 1
            assert [plc.memory.value(name) for name in values] == [1, 2.5, "x"]


async def test_reads_of_one_tick_share_a_request(connect: Connect) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (link, client):
            names = [f"GVL.n{index}" for index in range(20)]
            await client.read_many(names)
            before = link.requests
            values: dict[str, int] = {}

            async def read(name: str) -> None:
                values[name] = await client.read(name)

            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(read, name)
            assert values == {name: index for index, name in enumerate(names)}
            assert link.requests == before + 1


async def test_a_sum_read_has_at_most_500_items(connect: Connect) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (link, client):
            names = [f"GVL.n{index}" for index in range(600)]
            assert await client.read_many(names) == list(range(600))
            before = link.requests
            assert await client.read_many(names) == list(range(600))
            assert link.requests == before + 2


async def test_state_device_and_symbols(connect: Connect, plc: SimulatedPlc) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=0.02) as (_, client):
            assert (await client.device_info()).name == "flowbus PLC"
            assert len(await client.upload_symbols()) == len(plc.memory)
            changed = trio.Event()
            client.on_state = changed.set
            await client.write_control(AdsState.STOP, 0)
            await changed.wait()
            assert client.state is AdsState.STOP
            with pytest.raises(AdsError, match=r"ads.0x0712"):
                await client.write_control(AdsState.INVALID, 0)
