"""WebSocket URLs (RFC 6455, section 3)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlsplit

_PORTS = {"ws": 80, "wss": 443}


class Address(NamedTuple):
    """Where a URL leads: ``target`` is path and query as they stand in the request."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """The Host header: IPv6 in brackets, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == _PORTS["wss" if self.secure else "ws"] else f"{host}:{self.port}"
        )

    def __str__(self) -> str:
        """The URL without its query, which may hold secrets."""
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self.host_header}{self.target.partition('?')[0]}"


def parse_url(url: str) -> Address:
    """Return where ``url`` leads; ValueError says what is wrong with it."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(f"{_without_secrets(url)!r} is no URL: {error}") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"the scheme is {parts.scheme!r}; a WebSocket has ws:// or wss://")
    if not host:
        raise ValueError(f"{_without_secrets(url)!r} names no host; write ws://HOST:PORT/PATH")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user or password in the URL is not sent; give Authorization in headers")
    if "#" in url:
        raise ValueError("a WebSocket URL has no fragment; write # as %23")
    if port == 0:
        raise ValueError("port 0 cannot be dialled")
    target = _printable(parts.path or "/") + (f"?{_printable(parts.query)}" if parts.query else "")
    return Address(parts.scheme == "wss", _ascii_host(host), port or _PORTS[parts.scheme], target)


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no name of a host: {error}") from None


def _printable(text: str) -> str:
    return quote(text, safe="!#$%&'()*+,/:;=?@[]~")


def _without_secrets(url: str) -> str:
    rest = url.partition("?")[0]
    scheme, separator, behind = rest.partition("://")
    return f"{scheme}{separator}{behind.rpartition('@')[2]}"
