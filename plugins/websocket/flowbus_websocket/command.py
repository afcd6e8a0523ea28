"""Commands: messages with ``headers.command``, which say what to do instead of what to send.

The arguments of a command stand in the headers, or in the payload where that is an object; a header
outdoes the payload. The message ends when the command has been carried out, or cannot be.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from flowbus import Message, Rejected
from flowbus_websocket.faults import named
from flowbus_websocket.protocol.codes import NORMAL, sendable
from flowbus_websocket.protocol.encoder import MAX_CONTROL, MAX_REASON


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What a command takes; a ValueError of ``__post_init__`` says what is wrong with it."""


class Close(Arguments, frozen=True):
    """Close the connection with a code (RFC 6455, section 7.4) and a reason."""

    code: int = NORMAL
    reason: str = ""

    def __post_init__(self) -> None:
        if not sendable(self.code):
            raise ValueError(f"code: {self.code} cannot be sent; 1000 and 3000 to 4999 are usual")
        try:
            size = len(self.reason.encode())
        except UnicodeEncodeError:
            raise ValueError("reason: has half a surrogate pair, no UTF-8 has that") from None
        if size > MAX_REASON:
            raise ValueError(f"reason: has {size} bytes, at most {MAX_REASON} fit")

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class Connect(Arguments, frozen=True):
    """Connect; what is given stands in the place of the node's option, null takes that back."""

    url: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType | None = UNSET
    token: str | UnsetType | None = UNSET


class Ping(Arguments, frozen=True):
    """Ping the peer and wait for its answer, ``deadline`` seconds at most."""

    payload: Any = None
    deadline: Annotated[float, Meta(gt=0)] = 10.0


Kind = TypeVar("Kind", bound=Arguments)

_CLIENT: Final[dict[str, type[Close | Connect | Ping]]] = {
    "close": Close,
    "connect": Connect,
    "ping": Ping,
}


def is_command(message: Message) -> bool:
    """Tell whether a message is a command."""
    return "command" in message.headers


def client_command(message: Message) -> Close | Connect | Ping:
    """Return the command to a client that a message is; Rejected says what is wrong with it."""
    name = message.headers["command"]
    kind = _CLIENT.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(_CLIENT)
        raise Rejected(named("bad_command"), f"there is no command {name!r}; known: {known}")
    return arguments_of(message, kind)


def arguments_of(message: Message, kind: type[Kind]) -> Kind:
    """Return the arguments of a command; Rejected names the one that is wrong."""
    given: dict[str, Any] = {}
    if isinstance(message.payload, dict):
        given.update(message.payload)
    elif kind is Ping and message.payload is not None:
        given["payload"] = message.payload
    headers = message.headers
    given.update({name: headers[name] for name in kind.__struct_fields__ if name in headers})
    unknown = [name for name in given if name not in kind.__struct_fields__]
    try:
        if unknown:
            known = ", ".join(kind.__struct_fields__)
            raise ValueError(f"there is no argument {unknown[0]!r}; known: {known}")
        return msgspec.convert(given, kind)
    except ValueError as error:
        text = f"command {headers['command']}: {_in_words(error)}"
        raise Rejected(named("bad_command"), text) from None


def _in_words(error: ValueError) -> str:
    """Return what msgspec says as ``argument: what is wrong``; it never shows a value."""
    text, _, path = str(error).replace("`", "").partition(" - at ")
    argument = path.removeprefix("$").removeprefix(".")
    return f"{argument}: {text[:1].lower()}{text[1:]}" if argument else text


def ping_content(ping: Ping, content: str | bytes) -> bytes:
    """Return the bytes of a ping's payload; Rejected where they do not fit into one."""
    data = content.encode() if isinstance(content, str) else content
    if len(data) > MAX_CONTROL:
        text = f"command ping: payload: has {len(data)} bytes, at most {MAX_CONTROL} fit"
        raise Rejected(named("bad_command"), text)
    return data
