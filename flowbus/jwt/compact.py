"""The compact form of a signed token: header, payload and signature (RFC 7515, section 7.1)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import orjson

from flowbus.errors import Rejected
from flowbus.jwt.faults import CRITICAL_HEADER, MALFORMED, TOO_LARGE


class Parts(NamedTuple):
    """A token taken apart, nothing of it verified; ``signed`` is what the signature is over."""

    header: dict[str, Any]
    payload: bytes
    signature: bytes
    signed: bytes


def to_base64url(data: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def from_base64url(text: bytes, what: str) -> bytes:
    """Return what ``text`` encodes; Rejected where it is not the one spelling of it.

    Left-over bits and foreign characters are refused, so that no other text passes for a token.
    """
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        data = b""
    if to_base64url(data) != text:
        raise Rejected(MALFORMED, f"the {what} is not base64url")
    return data


def take_apart(token: str | bytes, max_size: int) -> Parts:
    """Return the parts of ``token``; Rejected where it has more bytes than allowed or is no token."""
    size = len(token)  # of a text that is no ASCII this is too small, but then it is no token
    if size > max_size:
        raise Rejected(TOO_LARGE, f"{size} bytes, {max_size} are allowed")
    try:
        data = token.encode("ascii") if isinstance(token, str) else bytes(token)
    except UnicodeEncodeError:
        raise Rejected(MALFORMED, "a token has letters, digits, - and _ only") from None
    segments = data.split(b".")
    if len(segments) != 3:
        raise Rejected(MALFORMED, _wrong_number(len(segments)))
    header, payload, signature = segments
    return Parts(
        json_object(from_base64url(header, "header"), "header"),
        from_base64url(payload, "payload"),
        from_base64url(signature, "signature"),
        header + b"." + payload,
    )


def _wrong_number(found: int) -> str:
    if found == 5:
        return "five parts: the token is encrypted (JWE), only signed ones are read"
    return f"a token has three parts joined by dots, this has {found}"


def json_object(text: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` is; Rejected where it is anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Rejected(MALFORMED, f"the {what} is not JSON") from None
    if not isinstance(value, dict):
        raise Rejected(MALFORMED, f"the {what} is no JSON object")
    return value


def check_extensions(header: dict[str, Any]) -> None:
    """Refuse what must be understood and is not (RFC 7515, 4.1.11; RFC 7797): crit and b64."""
    if "crit" in header:
        raise Rejected(CRITICAL_HEADER, "the header has crit, and no extension is understood here")
    if header.get("b64", True) is not True:
        raise Rejected(CRITICAL_HEADER, "the header has b64 that is not true (RFC 7797)")
