"""The server's side of the opening handshake: the request in, the response out (RFC 6455, 4.2)."""

from __future__ import annotations

import base64
import binascii
import http
from typing import NamedTuple

import h11

from flowbus_websocket.protocol.extensions import Agreed, Extension, choose, parse_extensions
from flowbus_websocket.protocol.handshake import (
    MAX_HEAD,
    VERSION,
    Headers,
    accept_token,
    as_bytes,
    as_text,
    has,
    one,
    values,
)


class BadRequest(Exception):
    """The client did not ask for a WebSocket; ``status`` and ``headers`` are the answer to give."""

    def __init__(self, status: int, text: str, headers: Headers | None = None) -> None:
        self.status = status
        self.headers = headers or []
        super().__init__(text)


class Request(NamedTuple):
    """What a client asks for. ``rest`` are bytes of frames that came behind its request."""

    target: str
    headers: Headers
    key: str
    rest: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers, the one it likes best first."""
        return values(self.headers, "sec-websocket-protocol")

    @property
    def extensions(self) -> list[Extension]:
        """The extensions that the client offers, the one it likes best first."""
        return parse_extensions(self.headers)

    def deflate(self, terms: Agreed) -> tuple[Agreed, Extension] | None:
        """Return what to agree to on these terms, and its answer; None without compression."""
        return choose(self.extensions, terms)

    def header(self, name: str) -> str | None:
        """Return the value of a header, None without it; ``name`` in lower case."""
        return one(self.headers, name)


class Answering:
    """One handshake of a server."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)

    def receive(self, data: bytes) -> Request | None:
        """Take in the next bytes; return the request once it is there.

        BadRequest says what to answer where it is none for a WebSocket.
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint, f"no request of HTTP: {error}") from None
        if not isinstance(event, h11.Request):
            return None
        if event.method != b"GET":
            method = event.method.decode("latin-1")
            raise BadRequest(405, f"the method is {method}, not GET", [("Allow", "GET")])
        if event.http_version < b"1.1":
            raise BadRequest(400, "HTTP/1.0 does not open a WebSocket")
        headers = as_text(event.headers)
        key = _check(headers)
        self._http.next_event()  # the end of the request: what follows is not HTTP
        return Request(event.target.decode("latin-1"), headers, key, self._http.trailing_data[0])


def accept(
    request: Request,
    subprotocol: str | None = None,
    headers: Headers | None = None,
    extension: Extension | None = None,
) -> bytes:
    """Return the response that opens the WebSocket.

    ValueError where a header has characters that HTTP does not allow.
    """
    own: Headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_token(request.key)),
    ]
    if subprotocol is not None:
        own.append(("Sec-WebSocket-Protocol", subprotocol))
    if extension is not None:
        own.append(("Sec-WebSocket-Extensions", str(extension)))
    return _head(101, [*own, *(headers or [])])


def refuse(status: int, headers: Headers | None = None, body: str = "") -> bytes:
    """Return the response that refuses it and announces that the connection closes."""
    data = body.encode()
    own: Headers = [
        ("Connection", "close"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(data))),
    ]
    given = {name.lower() for name, _ in headers or []}
    own = [header for header in own if header[0].lower() not in given]
    return _head(status, [*own, *(headers or [])]) + data


def _head(status: int, headers: Headers) -> bytes:
    try:
        reason = http.HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    kind = h11.InformationalResponse if status < 200 else h11.Response
    try:
        head = kind(status_code=status, headers=as_bytes(headers), reason=reason)
    except (h11.LocalProtocolError, UnicodeError) as error:
        raise ValueError(f"the response cannot be sent: {error}") from None
    lines = [f"HTTP/1.1 {status} {reason}".encode()]
    lines += [name + b": " + value for name, value in head.headers.raw_items()]
    return b"\r\n".join([*lines, b"", b""])


def _check(headers: Headers) -> str:
    """Return the key of a request that is in order (section 4.2.1)."""
    if not has(headers, "upgrade", "websocket") or not has(headers, "connection", "upgrade"):
        upgrade = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)]
        raise BadRequest(426, "the request does not ask for an upgrade to WebSocket", upgrade)
    version = one(headers, "sec-websocket-version")
    if version != VERSION:
        text = f"Sec-WebSocket-Version is {version}, not {VERSION}"
        raise BadRequest(426, text, [("Sec-WebSocket-Version", VERSION)])
    key = one(headers, "sec-websocket-key")
    if key is None or not _is_key(key):
        raise BadRequest(400, "Sec-WebSocket-Key is missing, or not 16 bytes in base64")
    try:
        parse_extensions(headers)
    except ValueError as error:
        raise BadRequest(400, str(error)) from None
    return key


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
