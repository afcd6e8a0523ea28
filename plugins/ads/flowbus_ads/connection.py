"""The connection type ``ads``: one device behind an ADS router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal

import trio
from msgspec import Meta

from flowbus import Config, ConnectionIO, Lost, Rejected, connection
from flowbus_ads import faults
from flowbus_ads.client import AdsClient
from flowbus_ads.discovery import Route, add_route, find_net_id
from flowbus_ads.driver.parent import check_installed, open_pyads_link
from flowbus_ads.link import AmsLink, default_net_id, open_link
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.constants import PORT, AdsState
from flowbus_ads.protocol.discovery import UDP_PORT

_SECURE_PORT = 8016
_Port = Meta(ge=1, le=65535)
_Seconds = Meta(gt=0, le=3600)


class AdsConfig(Config):
    """A TwinCAT PLC or another ADS device."""

    host: Annotated[str, Meta(min_length=1, description="IP address or name of the PLC.")]
    net_id: Annotated[
        str | None,
        Meta(
            description="AMS NetId of the device; absent: it is asked by UDP, and where nobody "
            "answers, or with another `tcp_port` and no `udp_port`, the PLC's IP address and .1.1 is tried."
        ),
    ] = None
    port: Annotated[
        int, _Port, Meta(description="AMS port: 851 is the first TwinCAT 3 PLC runtime.")
    ] = 851
    tcp_port: Annotated[int, _Port, Meta(description="TCP port of the ADS router.")] = PORT
    source_net_id: Annotated[
        str | None,
        Meta(
            description="Own AMS NetId, as the PLC's route names it; absent: the own IP address and .1.1."
        ),
    ] = None
    source_port: Annotated[
        Annotated[int, _Port] | None, Meta(description="Own AMS port; absent: one that is free.")
    ] = None
    timeout: Annotated[float, _Seconds, Meta(description="Seconds to wait for an answer.")] = 2.0
    connect_timeout: Annotated[
        float, _Seconds, Meta(description="Seconds to wait for the TCP connection.")
    ] = 5.0
    heartbeat: Annotated[
        float, _Seconds, Meta(description="Seconds between looks at state and symbol version.")
    ] = 2.0
    encoding: Annotated[
        Literal["cp1252", "utf-8"], Meta(description="How a STRING's bytes are read and written.")
    ] = "cp1252"
    enums: Annotated[
        Literal["number", "name"],
        Meta(
            description="What an enumeration is in a payload that is read; a write takes both."
        ),
    ] = "number"

    driver: Annotated[
        Literal["native", "pyads"],
        Meta(
            description="`pyads` goes through Beckhoff's own library in a process of its own, which is "
            "slower; TCP port 48898 only. It needs `pip install 'flowbus-ads[pyads]'`."
        ),
    ] = "native"
    udp_port: Annotated[
        int, _Port, Meta(description="UDP port of the ADS router, for discovery and routes.")
    ] = UDP_PORT
    route: Annotated[
        Route | None,
        Meta(description="A route to this host that the PLC is told when it refuses the connection."),
    ] = None

    def __post_init__(self) -> None:
        for net_id in (self.net_id, self.source_net_id):
            if net_id is not None:
                parse_net_id(net_id)
        if self.tcp_port == _SECURE_PORT:
            text = "is that of Secure ADS, which is not offered; open TCP 48898 on the PLC, or tunnel it"
            raise ValueError(f"tcp_port: {_SECURE_PORT} {text}")
        if "://" in self.host:
            text = "is no IP address or name; ADS over MQTT is not offered, only ADS over TCP"
            raise ValueError(f"host: {self.host!r} {text}")
        if self.driver == "pyads" and self.tcp_port != PORT:
            raise ValueError(f"tcp_port: the driver pyads reaches {PORT} only")

    def check_files(self) -> None:
        """Raise ConfigError where the driver is not installed."""
        if self.driver == "pyads":
            check_installed()


async def open_ads_link(config: AdsConfig, io: ConnectionIO) -> AsyncIterator[AmsLink]:
    """Hold the one TCP connection to a router; the newest of a host wins, so there is only one."""
    link: AmsLink | None = None
    try:
        async with _opened(config) as link:
            io.connected(link.place)
            yield link
    finally:
        if link is not None and link.was_refused and config.route is not None:
            with trio.CancelScope(shield=True):
                await _tell_route(config, config.route, link, io)


async def _tell_route(
    config: AdsConfig, route: Route, link: AmsLink, io: ConnectionIO
) -> None:
    """Have the PLC take in the route; whether that helps is seen at the next attempt."""
    own = ".".join(map(str, link.net_id))
    try:
        await add_route(
            config.host, route, net_id=own, address=link.local,
            timeout=config.timeout / 3, port=config.udp_port,
        )  # fmt: skip
    except (Rejected, Lost) as error:
        io.fault(error.fault, error.text)


def _opened(config: AdsConfig) -> AbstractAsyncContextManager[AmsLink]:
    if config.driver == "pyads":
        return open_pyads_link(
            config.host, timeout=config.timeout, source_net_id=config.source_net_id
        )
    return open_link(
        config.host, config.tcp_port,
        connect_timeout=config.connect_timeout, source_net_id=config.source_net_id,
    )  # fmt: skip


def _link_key(config: AdsConfig) -> tuple[str, int, str]:
    return config.host, config.tcp_port, config.driver


@connection("ads", link=open_ads_link, link_key=_link_key)
async def ads(config: AdsConfig, io: ConnectionIO) -> AsyncIterator[AdsClient]:
    """Beckhoff TwinCAT over ADS; every connection to one host shares one TCP connection."""
    link: AmsLink = await io.link()
    net_id, found = await _net_id(config, link)
    client = AdsClient(
        link, net_id, config.port,
        timeout=config.timeout, heartbeat=config.heartbeat, encoding=config.encoding,
        source_net_id=config.source_net_id, source_port=config.source_port,
        enum_names=config.enums == "name",
    )  # fmt: skip
    await client.start()
    where = f"{net_id}:{config.port} at {link.place}"

    def show() -> None:
        text = f"{where}, {client.state.name}{found}"
        if client.state == AdsState.RUN or not client.has_symbols:
            io.connected(text)
        else:
            io.degraded(faults.PLC_NOT_RUNNING, text)

    client.on_state = show
    io.details(lambda: _details(client, link))
    show()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            yield client
            nursery.cancel_scope.cancel()
    finally:
        await client.close()


async def _net_id(config: AdsConfig, link: AmsLink) -> tuple[str, str]:
    """Return the device's NetId and, where nothing confirms it, a word about that."""
    if config.net_id:
        return config.net_id, ""
    found = await find_net_id(
        config.host, tcp_port=config.tcp_port, udp_port=config.udp_port, timeout=config.timeout / 2
    )
    return (found, "") if found else (default_net_id(link.peer), "; the NetId is a guess")


def _details(client: AdsClient, link: AmsLink) -> dict[str, Any]:
    return {
        "state": client.state.name, "symbol_version": client.version, "renewals": client.renewals,
        "sum_commands": client.target.has_sums, "requests": link.requests,
        "late_answers": link.late_answers, "unknown_notifications": link.notes.unknown,
        "early_samples_dropped": link.notes.early_dropped,
    }  # fmt: skip
