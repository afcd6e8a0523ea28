"""From a URL to an open stream: name resolution, TCP, TLS; each failure by its own fault."""

from __future__ import annotations

import errno
import math
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import trio

from flowbus import TLS, ConfigError, Fault, Lost
from flowbus_websocket.faults import named
from flowbus_websocket.url import Address

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ETIMEDOUT: "connect_timed_out",
    errno.EHOSTUNREACH: "host_unreachable",
    errno.ENETUNREACH: "host_unreachable",
    errno.EHOSTDOWN: "host_unreachable",
    errno.EMFILE: "no_more_sockets",
    errno.ENFILE: "no_more_sockets",
    errno.ENOMEM: "out_of_memory",
    errno.ENOBUFS: "out_of_memory",
    errno.EAFNOSUPPORT: "socket_type_invalid",
    errno.EPROTONOSUPPORT: "protocol_setup_failed",
    errno.EOPNOTSUPP: "not_supported",
    errno.ECONNRESET: "connection_lost",
    errno.EPIPE: "connection_lost",
}

# What says that there is no such name; any other failure of the resolver may pass.
_NO_SUCH_NAME: Final = {
    getattr(socket, name)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
    if hasattr(socket, name)
}


def deadline_in(seconds: float) -> float:
    """Return a time limit of an option as trio takes it: 0 means none."""
    return seconds or math.inf


async def dial(address: Address, tls: TLS | None, connect_timeout: float) -> trio.abc.Stream:
    """Return a connected stream, through TLS where the URL is wss.

    ``connect_timeout`` in seconds covers all of it. Lost with the fault of what failed.
    """
    with trio.move_on_after(deadline_in(connect_timeout)):
        tcp = await _connect(address)
        if not address.secure:
            return tcp
        return await _secure(tcp, address.host, tls or TLS())
    where = f"{address.host}:{address.port}"
    raise Lost(named("connect_timed_out"), f"{where} did not answer within {connect_timeout:g} s")


async def _connect(address: Address) -> trio.SocketStream:
    where = f"{address.host}:{address.port}"
    try:
        return await trio.open_tcp_stream(address.host, address.port)
    except socket.gaierror as error:
        name = "host_not_found" if error.errno in _NO_SUCH_NAME else "resolver_error"
        raise Lost(named(name), f"{address.host}: {error.strerror}") from error
    except UnicodeError as error:
        raise Lost(named("host_not_found"), f"{address.host} is no name of a host") from error
    except OSError as error:
        reasons = {leaf.strerror or str(leaf) for leaf in _os_errors(error) if leaf.errno}
        text = f"{where}: {', '.join(sorted(reasons)) or error}"
        raise Lost(fault_of(error), text) from error


async def _secure(tcp: trio.SocketStream, host: str, tls: TLS) -> trio.abc.Stream:
    try:
        # Closing goes by the Close frame of WebSocket; TLS need not have a farewell of its own.
        stream = trio.SSLStream(
            tcp, tls.client_context(), server_hostname=tls.name_for(host), https_compatible=True
        )
        await tls.shake_hands(stream)
    except (trio.BrokenResourceError, ssl.SSLError, ValueError, ConfigError) as error:
        # A file of the options may be put right, or replaced, while the flow runs: no ConfigError.
        await trio.aclose_forcefully(tcp)
        raise Lost(tls_fault_of(error), f"TLS with {host}: {reason_of_tls(error)}") from error
    except BaseException:
        await trio.aclose_forcefully(tcp)
        raise
    return stream


def tls_fault_of(error: BaseException) -> Fault:
    """Return the fault of a failed TLS handshake, also where the peer just hung up."""
    fault = TLS.fault("ws", error)
    return named("tls_handshake_fail" if fault is None else fault.code.removeprefix("ws."))


def reason_of_tls(error: BaseException) -> str:
    """Return what went wrong in a TLS handshake, on one line."""
    if text := TLS.why(error):
        return text
    cause = error.__cause__ or error.__context__
    return str(cause or error) or "the peer hung up during the handshake"


def fault_of(error: OSError) -> Fault:
    """Return the fault that an error of the operating system stands for, also behind a group."""
    numbers = [leaf.errno for leaf in _os_errors(error) if leaf.errno]
    # Of several addresses that failed, the refusal of one says more than another's silence.
    for number, name in _BY_ERRNO.items():
        if number in numbers:
            return named(name)
    return named("connect_failed")


def _os_errors(error: BaseException | None) -> Iterator[OSError]:
    if isinstance(error, BaseExceptionGroup):
        for leaf in error.exceptions:
            yield from _os_errors(leaf)
    elif error is not None:
        if isinstance(error, OSError):
            yield error
        yield from _os_errors(error.__cause__)
