"""A simulated PLC, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import AmsLink, open_link
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.server import PlcServer

NET_ID = "5.1.2.3.1.1"
PORT = 851

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]


@pytest.fixture
def memory() -> PlcMemory:
    memory = PlcMemory()
    memory.add("MAIN.bFlag", "BOOL", True)
    memory.add("MAIN.nCount", "DINT", 7)
    memory.add("MAIN.rValue", "LREAL", 1.5)
    memory.add("MAIN.sText", "STRING(20)", "hällo")
    memory.add("MAIN.wText", "WSTRING(10)", "Ωmega")
    memory.add("MAIN.aValues", "ARRAY [-1..2] OF INT", [1, 2, 3, 4])
    for index in range(600):
        memory.add(f"GVL.n{index}", "DINT", index)
    return memory


@pytest.fixture
def plc(memory: PlcMemory) -> SimulatedPlc:
    return SimulatedPlc(parse_net_id(NET_ID), PORT, memory)


@pytest.fixture
async def server(plc: SimulatedPlc, nursery: trio.Nursery) -> PlcServer:
    server = PlcServer(plc, cycle=0.001)
    with trio.fail_after(5):
        await nursery.start(server.serve, "127.0.0.1", 0)
    return server


@pytest.fixture
def connect(server: PlcServer) -> Connect:
    @asynccontextmanager
    async def connected(**options: Any) -> AsyncIterator[tuple[AmsLink, AdsClient]]:
        options = {"timeout": 2.0, "heartbeat": 0.1, **options}
        async with open_link("127.0.0.1", server.port, connect_timeout=2.0) as link:
            client = AdsClient(link, NET_ID, PORT, **options)
            await client.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.run)
                yield link, client
                nursery.cancel_scope.cancel()

    return connected
