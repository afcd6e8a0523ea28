"""The way to a broker: name resolution, TCP and TLS, each failure with its fault."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

import msgspec
import trio

from flowbus import TLS, Fault, Lost
from flowbus_mqtt import faults

Stream = trio.abc.Stream

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_UNREACHABLE: Final = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN))
_HOST: Final = re.compile(r"[^\s/@]+")


class Address(msgspec.Struct, frozen=True):
    """Where a broker listens."""

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """Read ``mqtt://host[:port]`` or ``mqtts://host[:port]``; ValueError says what is wrong."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"{url!r} must begin with mqtt:// or mqtts://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user; give username and password as options of their own")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise ValueError(f"{url!r} names no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} must end after the port")
    if port == 0:
        raise ValueError(f"{url!r} has port 0")
    return Address(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts")


async def dial(address: Address, tls: TLS) -> Stream:
    """Connect, with the TLS handshake done where the address is secure. Raises Lost or ConfigError."""
    context = tls.client_context() if address.secure else None
    try:
        tcp = await trio.open_tcp_stream(address.host, address.port)
    except OSError as error:
        leaf = _leaf(error)
        text = leaf.strerror or str(leaf) or type(leaf).__name__
        raise Lost(_dial_fault(leaf), f"{address}: {text.lower()}") from error
    if context is None:
        return tcp
    return await _secure(tcp, context, address, tls)


async def _secure(tcp: trio.SocketStream, context: ssl.SSLContext, address: Address, tls: TLS) -> Stream:
    name = tls.name_for(address.host)
    stream = trio.SSLStream(tcp, context, server_hostname=name, https_compatible=True)
    try:
        await tls.shake_hands(stream)
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stream)
        raise broken(address, error, "the TLS handshake") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


def broken(address: Address, error: BaseException | None, during: str) -> Lost:
    """Return the failure of a connection that broke, with the reason that TLS or the system gives."""
    fault = None if error is None else TLS().fault("mqtt", error)
    if error is None or (fault is None and error.__cause__ is None):
        return Lost(faults.CONNECTION_LOST, f"{address} closed the connection during {during}")
    if fault is not None:
        return Lost(fault, f"{address}: {TLS.why(error) or fault.cause}")
    cause = error.__cause__
    text = getattr(cause, "strerror", None) or str(cause)
    return Lost(faults.CONNECTION_LOST, f"{address}: {text.lower()} during {during}")


def _leaf(error: BaseException) -> OSError:
    """Return the plain error: trio wraps the attempts on several addresses in one with a cause."""
    while True:
        cause = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if cause is None or not isinstance(cause, OSError | BaseExceptionGroup):
            break
        error = cause
    return error if isinstance(error, OSError) else OSError(str(error))


def _dial_fault(error: OSError) -> Fault:
    if isinstance(error, socket.gaierror):
        return faults.HOST_NOT_FOUND
    if isinstance(error, ConnectionRefusedError):
        return faults.CONNECTION_REFUSED
    if error.errno in _UNREACHABLE:
        return faults.HOST_UNREACHABLE
    if error.errno == errno.ETIMEDOUT:
        return faults.CONNECT_TIMEOUT
    return faults.CANNOT_CONNECT
