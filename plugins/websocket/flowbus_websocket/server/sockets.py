"""The sockets of a server: those that listen, and what is set on those of the clients."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any, Final, Literal

import msgspec
import trio

from flowbus import Lost
from flowbus_websocket.faults import named

BACKLOG: Final = 65535  # the system cuts it to its own limit

Families = Literal["no", "only", "both"]

_BIND_ERRORS: Final = {
    errno.EADDRINUSE: "address_in_use",
    errno.EADDRNOTAVAIL: "bind_address_invalid",
    errno.EAFNOSUPPORT: "socket_type_invalid",
    errno.EMFILE: "no_more_sockets",
    errno.ENFILE: "no_more_sockets",
}
_FAMILIES: Final = {"no": socket.AF_INET, "only": socket.AF_INET6, "both": socket.AF_UNSPEC}


class Place(msgspec.Struct, frozen=True):
    """Where to listen: ``host`` may be ``*`` for all addresses, port 0 is a free one."""

    host: str
    port: int
    ipv6: Families = "both"


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What is set on the sockets; sizes in bytes, times in seconds, None leaves it to the system."""

    backlog: int | None = None
    nodelay: bool = True
    keepalive_time: int | None = None
    keepalive_interval: int | None = None
    receive_buffer: int | None = None
    send_buffer: int | None = None

    def tune(self, client: trio.socket.SocketType) -> None:
        """Set the options of a client's socket."""
        if not self.nodelay:  # trio sets it
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        if self.keepalive_time is None or self.keepalive_interval is None:
            return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # macOS spells it otherwise.
        idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
        if idle is not None:
            client.setsockopt(socket.IPPROTO_TCP, idle, self.keepalive_time)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, self.keepalive_interval)

    def tune_listener(self, listener: trio.socket.SocketType) -> None:
        """Set what the clients' sockets inherit; TCP needs to know buffers before a connection is."""
        for option, size in (
            (socket.SO_RCVBUF, self.receive_buffer),
            (socket.SO_SNDBUF, self.send_buffer),
        ):
            if size:
                listener.setsockopt(socket.SOL_SOCKET, option, size)


async def open_listeners(place: Place, tuning: Tuning) -> list[trio.SocketListener]:
    """Listen on every address that ``place`` stands for, all on the same port.

    Lost with the fault of what failed.
    """
    listeners: list[trio.SocketListener] = []
    try:
        for family, address in await _addresses(place):
            if listeners:
                address = (address[0], port_of(listeners), *address[2:])
            listeners.append(await _listener(family, address, tuning))
    except BaseException:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return listeners


async def _addresses(place: Place) -> list[tuple[int, tuple[Any, ...]]]:
    host = None if place.host == "*" else place.host
    try:
        found = await trio.socket.getaddrinfo(
            host,
            place.port,
            family=_FAMILIES[place.ipv6],
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (socket.gaierror, UnicodeError) as error:
        kind = {"no": " of IPv4", "only": " of IPv6"}.get(place.ipv6, "")
        text = f"host {place.host!r} is no address{kind} of this machine: {error}"
        raise Lost(named("bind_address_invalid"), text) from error
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


async def _listener(family: int, address: tuple[Any, ...], tuning: Tuning) -> trio.SocketListener:
    sock = None
    try:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        # Allows a port whose old connections linger; two that listen on one port it never allows.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tuning.tune_listener(sock)
        await sock.bind(address)
        sock.listen(BACKLOG if tuning.backlog is None else tuning.backlog)
        return trio.SocketListener(sock)
    except (OSError, OverflowError) as error:
        if sock is not None:
            sock.close()
        name = _BIND_ERRORS.get(getattr(error, "errno", None) or 0, "bind_error")
        text = f"{address[0]} port {address[1]}: {getattr(error, 'strerror', None) or error}"
        raise Lost(named(name), text) from error


def port_of(listeners: list[trio.SocketListener]) -> int:
    """Return the port that the listeners have."""
    return int(listeners[0].socket.getsockname()[1])


def remote_of(stream: trio.SocketStream) -> str:
    """Return ``host:port`` of the peer, an IPv6 host in brackets; empty where it is gone already."""
    try:
        return _shown(stream.socket.getpeername())
    except OSError:
        return ""


def local_of(stream: trio.SocketStream) -> str:
    """Return ``host:port`` of our end, an IPv6 host in brackets; empty where it is gone already."""
    try:
        return _shown(stream.socket.getsockname())
    except OSError:
        return ""


def _shown(address: tuple[Any, ...]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_in(remote: str) -> str:
    """Return the host of what :func:`remote_of` returned."""
    return remote.rpartition(":")[0].strip("[]")


def is_ipv4(host: str) -> bool:
    """Tell whether ``host`` is an address of IPv4, not a name."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
