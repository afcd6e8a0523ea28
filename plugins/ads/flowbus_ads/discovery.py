"""Asking an ADS router by UDP: who it is, and to take in a route. Each question is asked three times."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Annotated, Final

import trio
from msgspec import Meta

from flowbus import Config, Lost, Secret
from flowbus_ads import faults
from flowbus_ads.errors import AdsError, Refusal
from flowbus_ads.protocol.address import parse_net_id
from flowbus_ads.protocol.constants import PORT
from flowbus_ads.protocol.discovery import (
    UDP_PORT,
    Datagram,
    ServerInfo,
    Service,
    info_request,
    parse_datagram,
    parse_info,
    parse_route_answer,
    route_request,
)
from flowbus_ads.protocol.errors import ProtocolError

_ATTEMPTS: Final = 3
_ROOM: Final = 2048
_ANYBODY: Final = b"\1\1\1\1\1\1"


class Route(Config):
    """A route to this host that the PLC is told when it refuses the connection."""

    name: Annotated[str, Meta(min_length=1, description="Name of the route on the PLC.")]
    address: Annotated[
        str, Meta(description="Address of this host as the PLC sees it; absent: the own one.")
    ] = ""
    net_id: Annotated[
        str, Meta(description="AMS NetId of this host; absent: that of the connection.")
    ] = ""
    user: Annotated[str, Meta(min_length=1, description="A user of the PLC's operating system.")]
    password: Annotated[Secret, Meta(description="That user's password.")]

    def __post_init__(self) -> None:
        if self.net_id:
            parse_net_id(self.net_id)


async def discover(host: str, *, timeout: float = 1.0, port: int = UDP_PORT) -> ServerInfo:
    """Return who the router at ``host`` is. Raises Lost where none answers."""
    answer = await _ask(host, port, Service.SERVER_INFO, timeout, lambda i: info_request(_ANYBODY, i))
    return parse_info(answer)


async def find_net_id(host: str, *, tcp_port: int, udp_port: int, timeout: float) -> str | None:
    """Return the NetId that the router of ``host`` tells within ``timeout`` seconds, None without one.

    A router on a TCP port of its own is not the one that answers at the usual UDP port.
    """
    if tcp_port != PORT and udp_port == UDP_PORT:
        return None
    try:
        return (await discover(host, timeout=timeout / _ATTEMPTS, port=udp_port)).net_id
    except Lost:
        return None


async def add_route(
    host: str, route: Route, *, net_id: str, address: str,
    timeout: float = 1.0, port: int = UDP_PORT,
) -> None:  # fmt: skip
    """Have the router at ``host`` take in a route to this host.

    ``net_id`` and ``address`` are those of this host where the route has none. Raises AdsError where
    the PLC refuses it, Lost where none answers.
    """
    own = parse_net_id(route.net_id or net_id)

    def wish(invoke_id: int) -> bytes:
        return route_request(
            own, invoke_id, name=route.name, address=route.address or address, user=route.user,
            password=route.password.reveal(),
        )  # fmt: skip

    answer = await _ask(host, port, Service.ADD_ROUTE, timeout, wish)
    try:
        status = parse_route_answer(answer)
    except ProtocolError as error:
        raise Lost(faults.BAD_ANSWER, f"route on {host}: {error}") from None
    if status:
        raise AdsError(Refusal(status, "router"), f"route {route.name} on {host}")


async def _ask(
    host: str, port: int, service: Service, timeout: float, question: Callable[[int], bytes]
) -> Datagram:
    invoke_id = random.getrandbits(32)
    place = f"{host}:{port} (UDP)"
    try:
        family, kind, protocol, _, address = (
            await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
        )[0]
        with trio.socket.socket(family, kind, protocol) as sock:
            await sock.connect(address)
            for _ in range(_ATTEMPTS):
                await sock.send(question(invoke_id))
                with trio.move_on_after(timeout):
                    return await _answer(sock, service, invoke_id)
    except trio.socket.gaierror as error:
        raise Lost(faults.HOST_NOT_FOUND, f"{host}: {error.strerror or error}") from error
    except OSError as error:
        raise Lost(faults.NO_DISCOVERY, f"{place}: {error.strerror or error}") from error
    raise Lost(faults.NO_DISCOVERY, f"{place} has not answered {_ATTEMPTS} times {timeout:g} s")


async def _answer(sock: trio.socket.SocketType, service: Service, invoke_id: int) -> Datagram:
    while True:
        data = await sock.recv(_ROOM)
        try:
            answer = parse_datagram(data)
        except ProtocolError:
            continue
        # Routers of TwinCAT 2 answer with an invoke id of 0.
        if answer.is_answer and answer.service == service and answer.invoke_id in (invoke_id, 0):
            return answer
