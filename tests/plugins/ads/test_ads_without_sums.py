"""Targets without sum commands: each says so in its own way, and every value still comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.errors import AdsError
from flowbus_ads.link import AmsLink
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.protocol.constants import Group, TransMode
from flowbus_ads.subscriptions import Terms

from tests.plugins.ads.waiting import Samples, until

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]
Asked = tuple[str, int, int]
FAST = Terms(TransMode.ON_CHANGE, 0.001, 0.0)
GENERAL_ERROR = 0x700
NO_MEMORY = 0x70A
NAMES = ["MAIN.nCount", "MAIN.rValue", "GVL.n5"]


class Refusing(Mapping[Asked, int]):
    """Answers of a PLC that refuses whole index groups, whatever the offset; counts what it refused."""

    def __init__(self, number: int, *groups: Group, reads: Group | None = None) -> None:
        self.number, self.asked = number, 0
        self._refused = {("read", reads), *(("read-write", group) for group in groups)}

    def __getitem__(self, asked: Asked) -> int:
        if asked[:2] not in self._refused:
            raise KeyError(asked)
        self.asked += 1
        return self.number

    def __iter__(self) -> Iterator[Asked]:
        return iter([])

    def __len__(self) -> int:
        return 1


async def test_a_target_without_sums_is_served_one_by_one(
    connect: Connect, plc: SimulatedPlc
) -> None:
    plc.sums_enabled = False
    await _everything_comes(connect, plc)


@pytest.mark.parametrize("group", [Group.SUM_READ, Group.SUM_READ_WRITE, Group.SUM_ADD_NOTIFICATION])
@pytest.mark.parametrize("number", [GENERAL_ERROR, NO_MEMORY])
async def test_a_sum_that_is_refused_by_a_code_of_any_kind_is_done_one_by_one(
    connect: Connect, plc: SimulatedPlc, group: Group, number: int
) -> None:
    plc.responses = refusing = Refusing(number, group)
    await _everything_comes(connect, plc)
    assert refusing.asked == 1  # and is not asked for again


async def _everything_comes(connect: Connect, plc: SimulatedPlc) -> None:
    """Read, subscribe to and write several symbols at once, of which one does not exist."""
    samples = Samples()
    with trio.fail_after(10):
        async with connect() as (_, client):
            for _ in range(2):
                count, unknown, value = await client.read_many([NAMES[0], "MAIN.nope", NAMES[1]])
                assert (count, value) == (7, 1.5)
                assert isinstance(unknown, AdsError)
            async with client.subscribe(NAMES, samples, FAST):
                await samples.wait_for(("MAIN.nCount", 7), ("MAIN.rValue", 1.5), ("GVL.n5", 5))
                assert not client.target.has_sums
                await (await client.prepare({"MAIN.nCount": 8, "MAIN.rValue": 0.5})).send()
                await samples.wait_for(("MAIN.nCount", 8), ("MAIN.rValue", 0.5))
    assert plc.write_requests == 2
    assert len(plc.notes) == 0


async def test_what_is_refused_alone_too_is_refused_and_the_sums_stay(
    connect: Connect, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            await client.read_many(NAMES)  # the handles are known from here on
            plc.responses = Refusing(GENERAL_ERROR, Group.SUM_READ, reads=Group.SYM_VALUE_BY_HANDLE)
            before = plc.requests
            for value in await client.read_many(NAMES):
                assert isinstance(value, AdsError)
                assert value.number == GENERAL_ERROR
            assert plc.requests == before + 2  # the sum, and one by itself
            assert client.target.has_sums


async def test_names_that_are_refused_alone_too_are_refused(
    connect: Connect, plc: SimulatedPlc
) -> None:
    groups = (Group.SUM_READ_WRITE, Group.SYM_INFO_BY_NAME_EX, Group.SYM_HANDLE_BY_NAME)
    plc.responses = Refusing(GENERAL_ERROR, *groups)
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            with pytest.raises(AdsError, match=r"ads.0x0700"):
                await client.read_many(NAMES)
            plc.responses = {}
            assert await client.read_many(NAMES) == [7, 1.5, 5]
            assert client.target.has_sums


async def test_a_sum_of_writes_that_is_refused_by_another_code_is_not_repeated(
    connect: Connect, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (_, client):
            write = await client.prepare({"MAIN.nCount": 8, "MAIN.rValue": 0.5})
            plc.responses = Refusing(GENERAL_ERROR, Group.SUM_WRITE)
            with pytest.raises(AdsError, match=r"ads.0x0700"):
                await write.send()
    assert plc.write_requests == 0
    assert plc.memory.value("MAIN.nCount") == 7


async def test_a_target_without_handles_is_asked_anew_for_addresses_that_may_have_moved(
    connect: Connect, plc: SimulatedPlc
) -> None:
    plc.responses = Refusing(0x701, Group.SYM_HANDLE_BY_NAME)
    with trio.fail_after(10):
        async with connect(heartbeat=0.02) as (_, client):
            await client.write("MAIN.nCount", 8)
            _move(plc, "MAIN.nCount")
            await client.write("MAIN.nCount", 9)  # though nothing has told of it yet
            assert plc.memory.value("MAIN.nCount") == await client.read("MAIN.nCount") == 9
            assert plc.write_requests == 2
            _move(plc, "MAIN.nCount")
            plc.version += 1
            await until(lambda: client.renewals)
            assert await client.read("MAIN.nCount") == 0


def _move(plc: SimulatedPlc, name: str) -> None:
    """Have a DINT at another address, as after a download; its value is 0."""
    plc.memory.remove(name)
    plc.memory.add(name, "DINT", 0)
