"""Listening sockets, and the tasks that accept."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from flowbus import Fault, Lost
from flowbus_websocket.faults import named

BACKLOG: Final = 65535  # the system cuts it to its own limit
PAUSE: Final = 0.1  # seconds before accepting again when there are no sockets left

_BIND_ERRORS: Final = {
    errno.EADDRINUSE: "address_in_use",
    errno.EADDRNOTAVAIL: "bind_address_invalid",
    errno.EAFNOSUPPORT: "socket_type_invalid",
    errno.EMFILE: "no_more_sockets",
    errno.ENFILE: "no_more_sockets",
}
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

OnStream = Callable[[trio.SocketStream], Awaitable[None]]
OnFault = Callable[[Fault, str], None]


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address that ``host`` stands for, all on the same port; 0 takes a free one.

    Lost with the fault of what failed.
    """
    listeners: list[trio.SocketListener] = []
    try:
        for family, address in await _addresses(host, port):
            if listeners:
                address = (address[0], port_of(listeners), *address[2:])
            listeners.append(await _listener(family, address))
    except BaseException:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return listeners


async def _addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        text = f"host {host!r} is no address of this machine: {error}"
        raise Lost(named("bind_address_invalid"), text) from error
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


async def _listener(family: int, address: tuple[Any, ...]) -> trio.SocketListener:
    sock = None
    try:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await sock.bind(address)
        sock.listen(BACKLOG)
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


async def accept_all(
    listener: trio.SocketListener, nursery: trio.Nursery, serve: OnStream, on_fault: OnFault
) -> None:
    """Start ``serve(stream)`` in ``nursery`` for every client, for ever."""
    while True:
        try:
            stream = await listener.accept()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            on_fault(named("no_more_sockets"), f"a client has to wait: {error.strerror}")
            # Those who wait stay in the backlog; trying at once would only spin.
            await trio.sleep(PAUSE)
            continue
        nursery.start_soon(serve, stream)


def remote_of(stream: trio.SocketStream) -> str:
    """Return ``host:port`` of the peer, an IPv6 host in brackets; empty where it is gone already."""
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
