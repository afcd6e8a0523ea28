"""Datagrams of a router: who it is, routes, and whatever else comes to its port."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from flowbus_ads import faults
from flowbus_ads.discovery import Route, add_route, discover, find_net_id
from flowbus_ads.errors import AdsError
from flowbus_ads.plc.routes import Router
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.discovery import (
    UDP_PORT,
    Datagram,
    Tag,
    encode_datagram,
    info_request,
    parse_datagram,
    parse_info,
)
from flowbus_ads.protocol.errors import ProtocolError
from flowbus_ads.udp import serve_router
from hypothesis import given
from hypothesis import strategies as st

from flowbus import Lost, Message, Outcome, Secret, State
from flowbus.testing import run_flow

NET_ID = parse_net_id("5.46.0.1.1.1")
FIELDS = st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=40), max_size=8)
DATAGRAMS = st.builds(
    Datagram, st.integers(0, 0x7FFF_FFFF), st.binary(min_size=6, max_size=6), FIELDS,
    st.integers(0, 0xFFFF_FFFF), st.booleans(), st.integers(0, 0xFFFF),
)  # fmt: skip


@given(DATAGRAMS)
def test_a_datagram_is_read_as_it_was_written(datagram: Datagram) -> None:
    assert parse_datagram(encode_datagram(datagram)) == datagram


@given(DATAGRAMS, st.data())
def test_one_that_is_cut_off_is_an_error(datagram: Datagram, data: st.DataObject) -> None:
    whole = encode_datagram(datagram)
    with pytest.raises(ProtocolError):
        parse_datagram(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=200))
def test_a_router_is_silent_about_anything_else(data: bytes) -> None:
    assert router().answer(data) is None


def test_a_router_does_not_answer_answers() -> None:
    answer = router().answer(info_request(NET_ID, 7))
    assert answer is not None
    assert router().answer(answer) is None
    assert parse_datagram(answer).invoke_id == 7


def test_windows_and_other_systems_tell_their_version() -> None:
    windows = b"\x14\x01\0\0\x0a\0\0\0\0\0\0\0\x63\x45\0\0\x02\0\0\0"
    info = parse_info(Datagram(1, NET_ID, {Tag.OS: windows, Tag.VERSION: b"\3\1\xb8\x0f"}))
    assert (info.os, info.version) == ("Windows 10.0.17763 (2)", "3.1.4024")
    bsd = bytes(20) + b"TwinCAT/BSD\0rest"
    assert parse_info(Datagram(1, NET_ID, {Tag.OS: bsd})).os == "TwinCAT/BSD"
    assert parse_info(Datagram(1, NET_ID, {})).os == ""


def router(**options: Any) -> Router:
    return Router(NET_ID, (3, 1, 4024), {"anna": "geheim"}, **options)


def route(**options: Any) -> Route:
    return Route(**{"name": "edge", "user": "anna", "password": Secret("geheim"), **options})


async def test_a_router_tells_who_it_is_and_takes_in_routes(nursery: trio.Nursery) -> None:
    simulated = router()
    with trio.fail_after(5):
        port = await nursery.start(serve_router, simulated, "127.0.0.1", 0)
        info = await discover("127.0.0.1", port=port)
        assert (info.net_id, info.version) == ("5.46.0.1.1.1", "3.1.4024")
        assert info.host_name
        own = {"net_id": "10.0.0.1.1.1", "address": "10.0.0.1"}
        await add_route("127.0.0.1", route(), port=port, **own)
        assert simulated.routes["edge"].net_id == "10.0.0.1.1.1"
        assert simulated.routes["edge"].address == "10.0.0.1"
        with pytest.raises(AdsError, match=r"route other on .*: ADSERR_DEVICE_INVALIDACCESS"):
            await add_route(
                "127.0.0.1", route(name="other", password=Secret("falsch")), port=port, **own
            )
        assert list(simulated.routes) == ["edge"]


async def test_only_the_router_of_this_tcp_port_is_asked_for_its_net_id(
    nursery: trio.Nursery,
) -> None:
    host = "127.0.0.51"
    with trio.fail_after(5):
        await nursery.start(serve_router, router(), host, UDP_PORT)
        own = await nursery.start(serve_router, router(), host, 0)
        asked = [
            await find_net_id(host, tcp_port=tcp_port, udp_port=udp_port, timeout=1.0)
            for tcp_port, udp_port in ((48898, UDP_PORT), (40001, UDP_PORT), (40001, own))
        ]
        assert asked == ["5.46.0.1.1.1", None, "5.46.0.1.1.1"]


async def test_nobody_answers() -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as mute:
        await mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        with trio.fail_after(5), pytest.raises(Lost) as lost:
            await discover("127.0.0.1", port=port, timeout=0.02)
        assert lost.value.fault is faults.NO_DISCOVERY
        asked = [await mute.recv(2048) for _ in range(3)]
        assert len(set(asked)) == 1  # the same question three times
    with trio.fail_after(5), pytest.raises(Lost) as lost:
        await discover("127.0.0.1", port=port, timeout=0.2)
    assert lost.value.fault is faults.NO_DISCOVERY
    with trio.fail_after(10), pytest.raises(Lost) as lost:
        await discover("no-such-host.invalid", timeout=0.2)
    assert lost.value.fault is faults.HOST_NOT_FOUND


def plant(**connection: Any) -> dict[str, Any]:
    host = "127.0.0.46"
    plc = {
        "type": "ads-simulator", "host": host, "net_id": "5.46.0.1.1.1",
        "symbols": {"MAIN.n": {"type": "INT"}}, "users": {"anna": "geheim"}, "route_required": True,
    }  # fmt: skip
    return {
        "connections": {"c": {"type": "ads", "host": host, "timeout": 0.5, **connection}},
        "nodes": {
            "plc": plc,
            "in": {"type": "test-source"},
            "write": {"type": "ads-write", "connection": "c", "symbol": "MAIN.n"},
        },
        "wires": [["in", "write"]],
    }


async def test_a_connection_that_is_refused_adds_its_route_and_finds_the_net_id() -> None:
    own = {"name": "edge", "user": "anna", "password": "geheim"}
    with trio.fail_after(20):
        async with run_flow(plant(route=own)) as flow:
            end = await flow.put("in", Message(7))
            assert end.outcome is Outcome.CONFIRMED
            assert flow.status("c").text.startswith("5.46.0.1.1.1:851")
            routes = flow.runtime.status()["nodes"]["plc"]["details"]["routes"]
            assert routes == {"edge": "127.0.0.1.1.1"}


@pytest.mark.parametrize("password", [None, "falsch"])
async def test_without_a_right_route_it_stays_out_and_says_why(
    password: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    own = {} if password is None else {"name": "edge", "user": "anna", "password": password}
    with trio.fail_after(20):
        async with run_flow(plant(**({"route": own} if own else {})), drain=0) as flow:
            await flow.wait_code("c", "ads.closed_at_once")
            flow.put_soon("in", Message(7))
            assert flow.status("write").state is State.WAITING
            while own and "ads.0x0704 route edge on 127.0.0.46" not in caplog.text:
                await trio.sleep(0.01)  # the PLC's answer to the wrong password
