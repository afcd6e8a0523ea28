"""A plant: two PLCs with three runtimes each, and outages of one that the other does not feel."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import AmsLink, open_link
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.plc.memory import PlcMemory
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.server import PlcServer

from flowbus import Message, Outcome
from flowbus.testing import Flow, run_flow

HOSTS = ("127.0.0.71", "127.0.0.72")
PORTS = (851, 852, 853)
SYMBOLS = 334
"""Of each runtime: 2,004 in all."""
SUBSCRIBED = 84
"""Of each runtime: 504 in all."""


def plant() -> dict[str, Any]:
    symbols = {f"GVL.n{i}": {"type": "DINT", "value": i} for i in range(SYMBOLS)}
    ticks = {f"GVL.n{i}": {**symbols[f"GVL.n{i}"], "behaviour": "counter", "period": 0.05} for i in range(SUBSCRIBED)}
    program = {"symbols": {**symbols, **ticks}}
    nodes: dict[str, Any] = {"seen": {"type": "test-sink"}, "do": {"type": "test-source"}}
    connections: dict[str, Any] = {}
    wires: list[Any] = []
    for number, host in enumerate(HOSTS):
        nodes[f"sim{number}"] = {
            "type": "ads-simulator", "host": host, **program,
            "runtimes": {str(port): program for port in PORTS[1:]},
        }  # fmt: skip
        for port in PORTS:
            name = f"plc{number}-{port}"
            connections[name] = {"type": "ads", "host": host, "port": port}
            nodes[f"sub-{name}"] = {
                "type": "ads-subscribe", "connection": name, "cycle_time": 0.05,
                "symbols": [f"GVL.n{i}" for i in range(SUBSCRIBED)],
            }  # fmt: skip
            wires.append([f"sub-{name}", "seen"])
    return {"connections": connections, "nodes": nodes, "wires": [*wires, ["do", "sim0"]]}


def rss() -> int:
    """Return the memory of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def numbers(flow: Flow, key: str) -> list[int]:
    nodes = flow.runtime.status()["nodes"]
    return [nodes[name]["details"][key] for name in nodes if name.startswith("sub-")]


@pytest.mark.system
async def test_a_plant_is_up_soon_and_steady() -> None:
    seconds = float(os.environ.get("PLANT_SECONDS", "6"))
    with trio.fail_after(60 + seconds):
        async with run_flow(plant()) as flow:
            began = trio.current_time()
            await flow.wait_running()
            print(f"up after {trio.current_time() - began:.2f} s")
            sims = [flow.runtime.status()["nodes"][name]["details"] for name in ("sim0", "sim1")]
            assert [sim["notifications"] for sim in sims] == [3 * SUBSCRIBED] * 2
            assert [sim["clients"] for sim in sims] == [1, 1]  # one TCP connection for three runtimes
            received, sizes = [], []
            for _ in range(3):
                with trio.move_on_after(seconds / 3):
                    while True:
                        await flow.get("seen")
                received.append(sum(numbers(flow, "received")))
                sizes.append(rss())
            print(f"{received} samples, {[size >> 20 for size in sizes]} MiB")
            assert received[0] < received[1] < received[2]
            assert not any(numbers(flow, "dropped"))
            assert sizes[2] - sizes[1] < 8 << 20
            nodes = flow.report()["nodes"]
            assert not any(node["faults"] for node in nodes.values())


async def test_runtimes_of_one_plc_are_told_apart() -> None:
    value = {
        "connections": {"c852": {"type": "ads", "host": HOSTS[0], "port": 852}},
        "nodes": {
            "sim": {
                "type": "ads-simulator", "host": HOSTS[0], "symbols": {"MAIN.n": {"type": "INT", "value": 1}},
                "runtimes": {"852": {"symbols": {"MAIN.n": {"type": "INT", "value": 2}}}},
            },
            "do": {"type": "test-source"}, "written": {"type": "test-sink"},
            "sub": {"type": "ads-subscribe", "connection": "c852", "symbols": ["MAIN.n"], "cycle_time": 0.01},
            "seen": {"type": "test-sink"},
            "in": {"type": "test-source"},
            "write": {"type": "ads-write", "connection": "c852", "symbol": "MAIN.n"},
        },
        "wires": [["do", "sim"], ["sim", "written"], ["sub", "seen"], ["in", "write"]],
    }  # fmt: skip
    with trio.fail_after(20):
        async with run_flow(value) as flow:
            await flow.wait_running()
            assert (await flow.get("seen")).payload == 2
            assert (await flow.put("in", Message(3))).outcome is Outcome.CONFIRMED
            written = await flow.get("written")
            assert (written.topic, written.payload, written.headers) == ("MAIN.n", 3, {"ams_port": 852})
            await flow.put("do", Message(8, "MAIN.n"))  # of the first runtime: nobody subscribes to it
            await flow.put("do", Message(9, "MAIN.n", headers={"ams_port": 852}))
            seen = []
            while 9 not in seen:
                seen.append((await flow.get("seen")).payload)
            assert seen in ([3, 9], [9])
            end = await flow.put("do", Message(9, "MAIN.n", headers={"ams_port": 860}))
            assert (end.outcome, "860" in end.text) == (Outcome.REJECTED, True)


async def test_a_cancelled_request_returns_at_once_and_the_link_goes_on() -> None:
    async def use(client: AdsClient, link: AmsLink, server: PlcServer) -> None:
        assert await client.read("MAIN.n") == 7
        server.switches.mute = True
        for call in (lambda: client.read("MAIN.n"), lambda: client.write("MAIN.n", 1), client.device_info):
            with trio.move_on_after(0.05) as scope:
                await call()
            assert scope.cancelled_caught
        server.switches.mute = False
        assert await client.read("MAIN.n") in (1, 7)
        assert not link.notes.unknown

    await with_client(HOSTS[0], use)


async def test_an_outage_of_one_plc_does_not_hold_up_another(nursery: trio.Nursery) -> None:
    """Each read of the healthy PLC is answered while a request to the mute one still waits."""

    async def use(client: AdsClient, link: AmsLink, server: PlcServer) -> None:
        async def mute(_client: AdsClient, _link: AmsLink, other: PlcServer) -> None:
            other.switches.mute = True
            waits = trio.Event()

            async def ask() -> None:
                with pytest.raises(Exception, match="did not answer"):
                    await _client.device_info()
                waits.set()

            nursery.start_soon(ask)
            for _ in range(200):
                assert await client.read("MAIN.n") == 7
            assert not waits.is_set()
            await waits.wait()
            assert await client.read("MAIN.n") == 7

        await with_client(HOSTS[1], mute)

    await with_client(HOSTS[0], use)


async def with_client(host: str, use: Any) -> None:
    memory = PlcMemory()
    memory.add("MAIN.n", "DINT", 7)
    net_id = f"{host}.1.1"
    server = PlcServer(SimulatedPlc(parse_net_id(net_id), 851, memory))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(server.serve, host, 0)
            async with open_link(host, port, connect_timeout=2.0) as link:
                client = AdsClient(link, net_id, 851, timeout=2.0)
                await client.start()
                await use(client, link, server)
            nursery.cancel_scope.cancel()
