"""The client through online changes, and its subscriptions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.errors import AdsError
from flowbus_ads.link import AmsLink
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.protocol.commands import NoteSpec
from flowbus_ads.protocol.constants import Group, TransMode
from flowbus_ads.server import PlcServer
from flowbus_ads.subscriptions import Terms
from trio.testing import wait_all_tasks_blocked

from tests.plugins.ads.waiting import Samples

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]
FAST = Terms(TransMode.ON_CHANGE, 0.001, 0.0)


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
