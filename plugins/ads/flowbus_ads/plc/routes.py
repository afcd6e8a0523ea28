"""The routes of a simulated router: who may connect, and how others tell it that they may."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

import msgspec

from flowbus_ads.protocol.constants import ErrorCode
from flowbus_ads.protocol.discovery import (
    Datagram,
    Service,
    Tag,
    info_answer,
    parse_datagram,
    route_answer,
)
from flowbus_ads.protocol.errors import ProtocolError

_MOST: Final = 1000


class KnownRoute(msgspec.Struct, frozen=True):
    """A route: the AMS NetId of a client's host and the address that it gave for it."""

    net_id: str
    address: str


class Router:
    """Answers datagrams. With ``users`` (passwords by name) only they may add routes."""

    def __init__(
        self, net_id: bytes, version: tuple[int, int, int], users: Mapping[str, str], *,
        required: bool = False,
    ) -> None:  # fmt: skip
        self.routes: dict[str, KnownRoute] = {}
        self.refused = 0
        #: Whether a client needs a route to be served.
        self.required = required
        self._net_id, self._version, self._users = net_id, version, users

    def admits(self, net_id: bytes) -> bool:
        """Tell whether a client whose requests come from ``net_id`` is served."""
        text = ".".join(map(str, net_id))
        return not self.required or any(route.net_id == text for route in self.routes.values())

    def answer(self, data: bytes) -> bytes | None:
        """Return the answer to a datagram; None to what is no question."""
        try:
            datagram = parse_datagram(data)
        except ProtocolError:
            return None
        if datagram.is_answer:
            return None
        if datagram.service == Service.SERVER_INFO:
            return info_answer(datagram, self._net_id, socket.gethostname(), self._version)
        if datagram.service == Service.ADD_ROUTE:
            return route_answer(datagram, self._net_id, self._add(datagram))
        return None

    def _add(self, wish: Datagram) -> int:
        net_id = wish.fields.get(Tag.NET_ID, b"")
        name = wish.text(Tag.ROUTE_NAME)
        if len(net_id) != 6 or not name:
            return ErrorCode.INVALID_DATA
        user, password = wish.text(Tag.USER), wish.text(Tag.PASSWORD)
        if self._users.get(user) != password or len(self.routes) >= _MOST:
            self.refused += 1
            return ErrorCode.INVALID_ACCESS
        self.routes[name] = KnownRoute(".".join(map(str, net_id)), wish.text(Tag.HOST))
        return ErrorCode.NONE
