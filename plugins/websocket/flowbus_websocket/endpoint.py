"""The two ends of a stream, and how it is secured, in words for a status."""

from __future__ import annotations

from typing import Any

import trio


def ends_of(stream: trio.abc.Stream) -> dict[str, Any]:
    """Return ``local`` and ``remote`` as host:port, and ``tls`` where there is TLS.

    ``tls`` has version, cipher and its secret bits; an address is empty where the peer is gone.
    """
    if isinstance(stream, trio.SSLStream):
        tcp, tls = stream.transport_stream, _tls(stream)
    else:
        tcp, tls = stream, None
    ends: dict[str, Any] = {"local": "", "remote": ""}
    if isinstance(tcp, trio.SocketStream):
        ends = {"local": _named(tcp, "getsockname"), "remote": _named(tcp, "getpeername")}
    return ends if tls is None else {**ends, "tls": tls}


def _named(stream: trio.SocketStream, end: str) -> str:
    try:
        host, port, *_ = getattr(stream.socket, end)()
    except OSError:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls(stream: trio.SSLStream[Any]) -> dict[str, Any]:
    name, _, bits = stream.cipher() or ("", "", 0)
    return {"version": stream.version(), "cipher": name, "bits": bits}
