"""The client's side of the opening handshake: the request out, the response in (RFC 6455, 4.1)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import h11

from flowbus_websocket.protocol.extensions import Agreed, Offer, check_answer, parse_extensions
from flowbus_websocket.protocol.handshake import (
    MAX_HEAD,
    VERSION,
    Headers,
    accept_token,
    as_bytes,
    as_text,
    flaw_of_value,
    has,
    one,
)

Why = Literal[
    "response_parse_error",
    "response_invalid",
    "response_status",
    "accept_missing",
    "accept_invalid",
    "extension_invalid",
    "subprotocol_refused",
]


class HandshakeError(Exception):
    """The server did not open a WebSocket; ``status`` is that of HTTP where it sent another one."""

    def __init__(self, why: Why, text: str, status: int = 0) -> None:
        self.why = why
        self.status = status
        super().__init__(text)


class Opening(NamedTuple):
    """What a client asks for. ``key`` is 16 random bytes in base64, fresh for every attempt.

    ``offers`` are those of permessage-deflate, the one liked best first.
    """

    host: str
    target: str
    key: str
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    offers: tuple[Offer, ...] = ()


class Opened(NamedTuple):
    """What the server agreed to; ``rest`` are bytes of frames that came behind its response.

    Without ``deflate`` messages are not compressed.
    """

    subprotocol: str | None
    headers: Headers
    rest: bytes
    deflate: Agreed | None = None


class Asking:
    """One handshake of a client."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    def request(self) -> bytes:
        """Return the request; a header of the caller replaces the default of that name.

        ValueError where a header or the target has characters that HTTP does not allow.
        """
        own = self._opening.headers
        named = {name.lower() for name, _ in own}
        headers = [header for header in self._default_headers() if header[0].lower() not in named]
        for name, value in own:
            if flaw := flaw_of_value(value):  # it may be a secret, and is not shown
                raise ValueError(f"the value of the header {name} {flaw}")
        try:
            request = h11.Request(
                method="GET", target=self._opening.target, headers=as_bytes([*headers, *own])
            )
            data = self._http.send(request) or b""
            return data + (self._http.send(h11.EndOfMessage()) or b"")
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise ValueError(f"the request cannot be sent: {error}") from None

    def _default_headers(self) -> Headers:
        opening = self._opening
        headers = [
            ("Host", opening.host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", opening.key),
            ("Sec-WebSocket-Version", VERSION),
        ]
        if opening.subprotocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(opening.subprotocols)))
        if opening.offers:
            extensions = ", ".join(str(offer.extension()) for offer in opening.offers)
            headers.append(("Sec-WebSocket-Extensions", extensions))
        return headers

    def receive(self, data: bytes) -> Opened | None:
        """Take in the next bytes; return what was agreed once the response is there.

        HandshakeError says what is wrong with it.
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise HandshakeError("response_parse_error", str(error)) from None
        if isinstance(event, h11.InformationalResponse):
            return self._opened(as_text(event.headers))
        if isinstance(event, h11.Response):
            reason = event.reason.decode("latin-1")
            text = f"the server answered {event.status_code} {reason}".rstrip()
            raise HandshakeError("response_status", text, event.status_code)
        return None

    def _opened(self, headers: Headers) -> Opened:
        if not has(headers, "upgrade", "websocket"):
            raise HandshakeError("response_invalid", "the response has no Upgrade: websocket")
        if not has(headers, "connection", "upgrade"):
            raise HandshakeError("response_invalid", "the response has no Connection: Upgrade")
        accept = one(headers, "sec-websocket-accept")
        if accept is None:
            raise HandshakeError("accept_missing", "the response has no Sec-WebSocket-Accept")
        if accept != accept_token(self._opening.key):
            raise HandshakeError("accept_invalid", "Sec-WebSocket-Accept does not answer our key")
        try:
            deflate = check_answer(parse_extensions(headers), self._opening.offers)
        except ValueError as error:
            raise HandshakeError("extension_invalid", str(error)) from None
        subprotocol = one(headers, "sec-websocket-protocol")
        if subprotocol is not None and subprotocol not in self._opening.subprotocols:
            text = f"the server chose the subprotocol {subprotocol!r}, which was not offered"
            raise HandshakeError("subprotocol_refused", text)
        return Opened(subprotocol, headers, self._http.trailing_data[0], deflate)
