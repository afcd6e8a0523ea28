"""The link when things go wrong: late, wrong and missing answers, garbage, a PLC that is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from flowbus_ads.client import AdsClient
from flowbus_ads.link import AmsLink, open_link
from flowbus_ads.plc.device import SimulatedPlc
from flowbus_ads.server import PlcServer

from flowbus import Lost
from tests.plugins.ads.waiting import until

Connect = Callable[..., AbstractAsyncContextManager[tuple[AmsLink, AdsClient]]]
NET_ID, PORT = "5.1.2.3.1.1", 851


def faults_in(error: BaseException) -> set[str]:
    """Codes of all Lost leaves of a group."""
    if isinstance(error, BaseExceptionGroup):
        return {code for inner in error.exceptions for code in faults_in(inner)}
    return {error.fault.code} if isinstance(error, Lost) else set()


@asynccontextmanager
async def lost_with(*codes: str) -> AsyncIterator[None]:
    """Expect that the body ends by one of these faults."""
    try:
        yield
    except BaseException as error:
        if not faults_in(error) & set(codes):
            raise
    else:
        pytest.fail(f"nothing was lost, {codes} was expected")


async def test_a_cancelled_request_leaves_the_link_usable(
    connect: Connect, server: PlcServer
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0) as (link, client):
            await client.read("MAIN.nCount")
            server.switches.slow = 0.05
            with trio.move_on_after(0.01) as scope:
                await client.read("MAIN.nCount")
            assert scope.cancelled_caught
            with trio.move_on_after(0.01) as scope:
                await client.device_info()
            assert scope.cancelled_caught
            await until(lambda: link.late_answers)
            server.switches.slow = 0.0
            assert await client.read("MAIN.nCount") == 7


async def test_a_late_answer_is_ignored(connect: Connect, server: PlcServer) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0, timeout=0.05) as (link, client):
            await client.read("MAIN.nCount")
            server.switches.slow = 0.4
            with pytest.raises(Lost, match=r"ads.timeout"):
                await client.read("MAIN.nCount")
            server.switches.slow = 0.0
            await until(lambda: link.late_answers == 1)
            assert await client.read("MAIN.nCount") == 7


async def test_an_answer_to_another_invoke_id_is_ignored(
    connect: Connect, server: PlcServer
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0, timeout=0.1) as (link, client):
            await client.read("MAIN.nCount")
            server.switches.wrong_invoke_ids = 1
            with pytest.raises(Lost, match=r"ads.timeout"):
                await client.device_info()
            assert link.late_answers == 1
            assert await client.read("MAIN.nCount") == 7


async def test_a_write_without_an_answer_is_sent_once(
    connect: Connect, server: PlcServer, plc: SimulatedPlc
) -> None:
    with trio.fail_after(10):
        async with connect(heartbeat=60.0, timeout=0.05) as (_, client):
            await client.read("MAIN.nCount")
            server.switches.mute = True
            with pytest.raises(Lost, match=r"ads.timeout"):
                await client.write("MAIN.nCount", 5)
            server.switches.mute = False
            assert await client.read("MAIN.nCount") == 5
    assert plc.write_requests == 1


async def test_a_mute_plc_is_found_by_the_heartbeat(connect: Connect, server: PlcServer) -> None:
    with trio.fail_after(10):
        async with lost_with("ads.mute"), connect(heartbeat=0.02, timeout=0.1) as (_, client):
            await client.read("MAIN.nCount")
            server.switches.mute = True
            await trio.sleep_forever()


async def test_a_plc_that_is_mute_from_the_start_gets_a_new_connection(server: PlcServer) -> None:
    with trio.fail_after(10):
        async with lost_with("ads.mute"), open_link("127.0.0.1", server.port, connect_timeout=2.0) as link:
            server.switches.mute = True
            with pytest.raises(Lost, match=r"ads.mute"):
                await AdsClient(link, NET_ID, PORT, timeout=0.05).start()
            await trio.sleep_forever()  # the link ends


async def test_a_mute_plc_ends_the_link_for_all_its_clients(
    connect: Connect, server: PlcServer
) -> None:
    failed: list[str] = []

    async def read(client: AdsClient) -> None:
        try:
            await client.read("MAIN.nCount")
        except Lost as lost:
            failed.append(lost.fault.code)

    with trio.fail_after(10):
        async with (
            trio.open_nursery() as nursery,
            lost_with("ads.mute"),
            open_link("127.0.0.1", server.port, connect_timeout=2.0) as link,
        ):
            patient = AdsClient(link, NET_ID, PORT, timeout=60.0)
            await patient.read("MAIN.nCount")
            watcher = AdsClient(link, NET_ID, PORT, timeout=0.1, heartbeat=0.02)
            await watcher.start()
            server.switches.mute = True
            nursery.start_soon(read, patient)
            with pytest.raises(Lost, match=r"ads.mute"):
                await watcher.run()
            await trio.sleep_forever()
    assert failed == ["ads.mute"]


async def test_garbage_ends_the_link(connect: Connect, server: PlcServer) -> None:
    with trio.fail_after(10):
        async with lost_with("ads.bad_frame"), connect(heartbeat=60.0) as (_, client):
            server.switches.garbage = 1
            with pytest.raises(Lost, match=r"ads.bad_frame"):
                await client.device_info()
            await trio.sleep_forever()


async def test_pending_requests_fail_when_the_plc_hangs_up(
    connect: Connect, server: PlcServer
) -> None:
    with trio.fail_after(10):
        async with lost_with("ads.connection_lost"), connect(heartbeat=60.0) as (_, client):
            await client.read("MAIN.nCount")
            server.switches.mute = True

            async def read() -> None:
                with pytest.raises(Lost, match=r"ads.connection_lost"):
                    await client.read("MAIN.nCount")

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(read)
                await until(lambda: server.plc.requests)
                server.drop_clients()
            with pytest.raises(Lost, match=r"ads.connection_lost"):
                await client.read("MAIN.nCount")
            await trio.sleep_forever()


async def test_the_newest_client_of_a_host_wins(connect: Connect, server: PlcServer) -> None:
    server.switches.single_client = True
    with trio.fail_after(10):
        async with lost_with("ads.connection_lost"), connect(), connect() as (_, second):
            assert await second.read("MAIN.nCount") == 7
            await trio.sleep_forever()


async def test_nobody_listens() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with (
        trio.fail_after(10),
        pytest.raises(Lost, match=f"ads.connection_refused: 127.0.0.1:{port}"),
    ):
        async with open_link("127.0.0.1", port, connect_timeout=2.0):
            pytest.fail("connected to nothing")


async def test_a_name_that_does_not_resolve() -> None:
    with trio.fail_after(20), pytest.raises(Lost, match=r"ads.host_not_found"):
        async with open_link("plc.invalid", 48898, connect_timeout=10.0):
            pytest.fail("connected to nothing")


async def test_a_plc_without_a_route_to_us_closes_at_once(nursery: trio.Nursery) -> None:
    async def close(stream: trio.SocketStream) -> None:
        await stream.receive_some(38)
        await stream.aclose()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, close, listeners)
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(10):
        async with (
            lost_with("ads.closed_at_once"),
            open_link("127.0.0.1", port, connect_timeout=2.0) as link,
        ):
            await AdsClient(link, NET_ID, PORT).start()
    nursery.cancel_scope.cancel()


async def test_an_unanswered_connect_ends_in_time(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(host: str, port: int) -> trio.SocketStream:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(trio, "open_tcp_stream", never)
    with trio.fail_after(10), pytest.raises(Lost, match=r"ads.connect_timeout"):
        async with open_link("127.0.0.1", 48898, connect_timeout=0.01):
            pytest.fail("connected to nothing")


async def test_two_clients_share_one_tcp_connection(connect: Connect, server: PlcServer) -> None:
    with trio.fail_after(10):
        async with connect() as (link, first):
            second = AdsClient(link, NET_ID, PORT)
            await second.start()
            assert await first.read("MAIN.nCount") == await second.read("MAIN.nCount") == 7
            assert first.target.source != second.target.source
            assert server.clients == 1


async def test_a_client_that_sends_garbage_or_hangs_up_harms_nobody(
    connect: Connect, server: PlcServer
) -> None:
    with trio.fail_after(10):
        async with connect() as (_, client):
            for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(50), b"\0"):
                stream = await trio.open_tcp_stream("127.0.0.1", server.port)
                await stream.send_all(data)
                if len(data) > 1:
                    assert await stream.receive_some(100) == b""
                await stream.aclose()
            await until(lambda: server.clients == 1)
            assert await client.read("MAIN.nCount") == 7
