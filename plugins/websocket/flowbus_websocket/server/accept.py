"""The rules by which a server lets clients in, as the flow file has them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from msgspec import Meta

from flowbus import JWT, Config, Secret
from flowbus_websocket.protocol.handshake import is_token

#: The rules in the order in which they are asked, and the status that a refusal has by default.
STATUSES: Final = {
    "hosts": 421,  # Misdirected Request (RFC 9110, section 15.5.20)
    "paths": 404,
    "origins": 403,
    "require_headers": 403,
    "client_certs": 403,
    "bearer_jwt": 401,
    "subprotocols": 400,
}
_OWN: Final = ("connection", "upgrade", "content-length", "transfer-encoding")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|^\s|\s$")


class Refusal(Config):
    """What a client is told that a rule does not let in."""

    status: Annotated[
        int | None, Meta(description="Status of HTTP, 300 to 599; without it that of the rule.")
    ] = None
    headers: Annotated[dict[str, str], Meta(description="Headers of the answer.")] = {}  # noqa: RUF012

    def __post_init__(self) -> None:
        if self.status is not None and not 300 <= self.status <= 599:
            raise ValueError(f"status: {self.status} does not refuse; 300 to 599 do")
        check_headers("headers", self.headers)


class Accept(Config):
    """Who is let in: a client has to pass every rule that is given. `*` stands for any text."""

    paths: Annotated[
        tuple[str, ...],
        Meta(description="Paths served, without a query: /live, /line/*. Refused with 404."),
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins of the pages that may connect: https://panel.example, "
            "https://*.plant.example; an empty text lets in who sends none, as programs do. "
            "Refused with 403."
        ),
    ] = ()
    hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names under which the server is asked for (Host), with or without the "
            "port. Refused with 421."
        ),
    ] = ()
    require_headers: Annotated[
        dict[str, Secret],
        Meta(
            description="Headers that a request must have, and their values; * for any. Never "
            "shown. Refused with 403."
        ),
    ] = {}  # noqa: RUF012  msgspec copies it
    client_certs: Annotated[
        tuple[str, ...],
        Meta(
            description="Certificates that may connect, of those that tls.client_ca has issued: "
            "subjects as RFC 4514 writes them (CN=panel*,O=Plant; * within an attribute) or "
            "SHA-256 fingerprints. "
            "Refused with 403."
        ),
    ] = ()
    bearer_jwt: Annotated[
        JWT | None,
        Meta(
            description="A request must bring a token that this verifies: Authorization: Bearer. "
            "Its claims are in the connection event and in the headers of the client's messages. "
            "Refused with 401 (RFC 6750)."
        ),
    ] = None
    subprotocols: Annotated[
        tuple[str, ...],
        Meta(
            description="Subprotocols spoken, the one liked best first; the first that the client "
            "offers is chosen."
        ),
    ] = ()
    require_subprotocol: Annotated[
        bool, Meta(description="Refuse, with 400, who offers none of subprotocols.")
    ] = False
    refusals: Annotated[
        dict[str, Refusal],
        Meta(description="What to answer instead of the status of a rule, by the rule's name."),
    ] = {}  # noqa: RUF012
    response_headers: Annotated[
        dict[str, str], Meta(description="Headers of every answer, also of the one that lets in.")
    ] = {}  # noqa: RUF012

    def __post_init__(self) -> None:
        for path in self.paths:
            if not path.startswith(("/", "*")):
                raise ValueError(f"paths: {path!r} does not begin with /")
        for origin in self.origins:
            if not _may_be_origin(origin):
                raise ValueError(
                    f"origins: {origin!r} fits no origin, which is written SCHEME://HOST or "
                    "SCHEME://HOST:PORT, with * for any text"
                )
        for name in self.subprotocols:
            if not is_token(name):
                raise ValueError(f"subprotocols: {name!r} is not a token of HTTP")
        if self.require_subprotocol and not self.subprotocols:
            raise ValueError("require_subprotocol: needs subprotocols to choose from")
        for name in self.require_headers:
            if not is_token(name):
                raise ValueError(f"require_headers: {name!r} is no name of a header")
        for rule in self.refusals:
            if rule not in STATUSES:
                raise ValueError(f"refusals: {rule!r} is no rule; there are {', '.join(STATUSES)}")
        check_headers("response_headers", self.response_headers)


def _may_be_origin(text: str) -> bool:
    """Tell whether a browser may send what fits ``text`` (RFC 6454, section 6.2), or nothing."""
    _, scheme, host = text.partition("://")
    if not scheme:
        return text in ("", "null") or "*" in text
    return text == "file://" or (bool(host) and "/" not in host)


def check_headers(option: str, headers: dict[str, Any]) -> None:
    """Raise ValueError, naming ``option``, where headers cannot stand in an answer."""
    for name, value in headers.items():
        if not is_token(name):
            raise ValueError(f"{option}: {name!r} is no name of a header")
        if name.lower() in _OWN or name.lower().startswith("sec-websocket-"):
            raise ValueError(f"{option}: {name} belongs to the handshake and cannot be given")
        if not isinstance(value, str) or _CONTROL.search(value):
            raise ValueError(f"{option}: the value of {name} is no text, or has control characters")
