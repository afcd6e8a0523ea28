"""What both sides of the opening handshake share (RFC 6455, sections 4.1 and 4.2)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Final

Headers = list[tuple[str, str]]

VERSION: Final = "13"
MAX_HEAD: Final = 65536  # bytes of a request or response up to the empty line
TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105  RFC 9110, section 5.6.2

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|^\s|\s$")
_TOKEN: Final = re.compile(TOKEN)


def accept_token(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (section 4.2.2)."""
    digest = hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def is_token(text: str) -> bool:
    """Tell whether ``text`` is a token of HTTP, as a subprotocol must be (RFC 9110, section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def flaw_of_value(text: str) -> str:
    """Return what keeps ``text`` from being the value of a header, empty where nothing does."""
    if _FORBIDDEN.search(text):
        return "has control characters, or blanks around it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "cannot be written in UTF-8"
    return ""


def values(headers: Headers, name: str) -> list[str]:
    """Return the elements of a header that is a comma-separated list, over all its lines."""
    lines = [value for header, value in headers if header.lower() == name]
    return [part for line in lines for element in line.split(",") if (part := element.strip())]


def one(headers: Headers, name: str) -> str | None:
    """Return the value of a header, of the first line where it is repeated; None without it."""
    return next((value for header, value in headers if header.lower() == name), None)


def has(headers: Headers, name: str, token: str) -> bool:
    """Tell whether a list header names ``token``, in whatever case."""
    return token in (value.lower() for value in values(headers, name))


def as_text(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return headers as text; any byte may stand in a value and is kept as Latin-1."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def as_bytes(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as they go on the wire; UTF-8 where Latin-1 does not do."""
    return [(name.encode("ascii"), _encode(value)) for name, value in headers]


def _encode(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()
