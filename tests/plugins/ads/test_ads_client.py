"""The client against the simulated PLC: values, subscriptions, online changes."""

from __future__ import annotations

import struct
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
from flowbus_ads.protocol.commands import NoteSpec
from flowbus_ads.protocol.constants import AdsState, Group, TransMode
from flowbus_ads.server import PlcServer
from flowbus_ads.subscriptions import Terms
from trio.testing import wait_all_tasks_blocked

from flowbus import Rejected

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]
FAST = Terms(TransMode.ON_CHANGE, 0.001, 0.0)


class Samples:
    """What a subscription delivered, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._more = trio.Event()

    def __call__(self, name: str, filetime: int, value: Any) -> None:
        self.seen.append((name, value))
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, sample: tuple[str, Any]) -> None:
        while sample not in self.seen:
            await self._more.wait()


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


async def test_a_target_without_sums_is_served_one_by_one(
    connect: Connect, plc: SimulatedPlc
) -> None:
    plc.sums_enabled = False
    samples = Samples()
    with trio.fail_after(10):
        async with connect() as (_, client):
            names = ["MAIN.nCount", "MAIN.nope", "MAIN.rValue"]
            for _ in range(2):
                count, unknown, value = await client.read_many(names)
                assert (count, value) == (7, 1.5)
                assert isinstance(unknown, AdsError)
            await (await client.prepare({"MAIN.nCount": 8, "MAIN.rValue": 0.5})).send()
            assert not client.target.has_sums
            async with client.subscribe(["MAIN.nCount", "MAIN.rValue"], samples, FAST):
                await samples.wait_for(("MAIN.nCount", 8))
                await samples.wait_for(("MAIN.rValue", 0.5))
    assert plc.write_requests == 2
    assert len(plc.notes) == 0


async def test_reads_survive_an_online_change(
    connect: Connect, server: PlcServer, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            names = ["MAIN.nCount", "MAIN.rValue"]
            await client.read_many(names)
            server.online_change(plc)
            assert await client.read("MAIN.nCount") == 7
            server.online_change(plc)
            assert await client.read_many(names) == [7, 1.5]


async def test_a_write_is_not_repeated_after_an_online_change(
    connect: Connect, server: PlcServer, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            await client.write("MAIN.nCount", 1)
            server.online_change(plc)
            with pytest.raises(AdsError, match=r"ads.0x0711"):
                await client.write("MAIN.nCount", 2)
            assert plc.write_requests == 2
            assert plc.memory.value("MAIN.nCount") == 1
            await client.write("MAIN.nCount", 3)
            assert plc.memory.value("MAIN.nCount") == 3


async def test_a_symbol_that_changed_its_type_is_read_with_the_new_one(
    connect: Connect, server: PlcServer, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            assert await client.read("MAIN.nCount") == 7
            plc.memory.remove("MAIN.nCount")
            plc.memory.add("MAIN.nCount", "LREAL", 7.5)
            server.online_change(plc)
            assert await client.read("MAIN.nCount") == 7.5


async def test_an_online_change_that_only_the_program_counts_is_noticed(
    connect: Connect, plc: SimulatedPlc
) -> None:
    """The symbol version stays, the handle works, and the value is of another type of the same size."""
    with trio.fail_after(10):
        async with connect(heartbeat=0.02) as (_, client):
            assert await client.read("MAIN.nCount") == 7
            place = plc.memory.find("MAIN.nCount")
            assert place is not None
            plc.memory.remove("MAIN.nCount")
            plc.memory.add("MAIN.nCount", "REAL")
            plc.memory.write(place.group, place.offset, struct.pack("<f", 2.5))
            assert await client.read("MAIN.nCount") == 0x40200000
            plc.count_online_change()
            while not client.renewals:
                await wait_all_tasks_blocked()
            plc.memory.set("MAIN.nCount", 3.5)
            assert await client.read("MAIN.nCount") == 3.5
            assert client.version == plc.version == 1


async def test_a_subscription_sends_the_present_value_and_changes(
    connect: Connect, plc: SimulatedPlc
) -> None:
    samples = Samples()
    with trio.fail_after(10):
        async with connect() as (_, client):
            async with client.subscribe(["MAIN.nCount", "MAIN.sText"], samples, FAST):
                await samples.wait_for(("MAIN.nCount", 7))
                await samples.wait_for(("MAIN.sText", "hällo"))
                plc.memory.set("MAIN.nCount", 8)
                await samples.wait_for(("MAIN.nCount", 8))
            assert len(plc.notes) == 0


@pytest.mark.parametrize("heartbeat", [0.05, 60.0], ids=["by version too", "by empty sample"])
async def test_subscriptions_survive_an_online_change(
    connect: Connect, server: PlcServer, plc: SimulatedPlc, heartbeat: float
) -> None:
    samples = Samples()
    with trio.fail_after(10):
        async with (
            connect(heartbeat=heartbeat) as (_, client),
            client.subscribe(["MAIN.nCount"], samples, FAST),
        ):
            await samples.wait_for(("MAIN.nCount", 7))
            server.online_change(plc)
            plc.memory.set("MAIN.nCount", 9)
            await samples.wait_for(("MAIN.nCount", 9))
            assert client.renewals >= 1
            assert len(plc.notes) == 1


async def test_a_symbol_that_appears_later_joins(
    connect: Connect, server: PlcServer, plc: SimulatedPlc
) -> None:
    samples = Samples()
    with trio.fail_after(10):
        async with (
            connect(heartbeat=0.02) as (_, client),
            client.subscribe(["MAIN.nCount", "MAIN.nLate"], samples, FAST) as subscription,
        ):
            assert list(subscription.missing) == ["MAIN.nLate"]
            plc.memory.add("MAIN.nLate", "INT", 5)
            await samples.wait_for(("MAIN.nLate", 5))
            assert not subscription.missing


async def test_a_notification_that_nobody_knows_is_deleted(
    connect: Connect, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect() as (link, client):
            stranger = NoteSpec(Group.DATA, 0, 1, TransMode.CYCLIC, 0, 10_000)
            await client.target.add_notes([stranger])
            while len(plc.notes):
                await wait_all_tasks_blocked(0.001)
            assert link.notes.unknown == 1


async def test_samples_still_on_their_way_after_the_end_are_no_strangers(
    connect: Connect, plc: SimulatedPlc
) -> None:
    samples = Samples()
    terms = Terms(TransMode.CYCLIC, 0.001)
    with trio.fail_after(10):
        async with connect() as (link, client):
            for _ in range(3):
                async with client.subscribe(["MAIN.nCount", "MAIN.rValue"], samples, terms):
                    await samples.wait_for(("MAIN.nCount", 7))
                samples.seen.clear()
            assert await client.read("MAIN.nCount") == 7
            assert link.notes.unknown == 0


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
