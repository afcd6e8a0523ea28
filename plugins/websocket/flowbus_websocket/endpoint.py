"""The two ends of a stream, and how it is secured, for a status."""

from __future__ import annotations

from typing import Any

import trio

from flowbus import TLS


def ends_of(stream: trio.abc.Stream, tls: TLS) -> dict[str, Any]:
    """Return ``local`` and ``remote`` as host:port, and ``tls`` where there is TLS.

    ``tls`` is what :meth:`TLS.describe` says, the peer's certificate without its PEM. An address is
    empty where the peer is gone.
    """
    if not isinstance(stream, trio.SSLStream):
        return _addresses(stream)
    shown = tls.describe(stream)
    if shown["peer"] is not None:
        shown["peer"] = {name: value for name, value in shown["peer"].items() if name != "pem"}
    return {**_addresses(stream.transport_stream), "tls": shown}


def _addresses(stream: trio.abc.Stream) -> dict[str, Any]:
    if not isinstance(stream, trio.SocketStream):
        return {"local": "", "remote": ""}
    return {"local": _named(stream, "getsockname"), "remote": _named(stream, "getpeername")}


def _named(stream: trio.SocketStream, end: str) -> str:
    try:
        host, port, *_ = getattr(stream.socket, end)()
    except OSError:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
