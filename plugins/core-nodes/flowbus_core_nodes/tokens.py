"""From claims to JSON Web Tokens and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import joserfc  # noqa: F401 - brought by the extra jwt; without it these types are named as unusable
from msgspec import Meta, field

from flowbus import JWT, Config, Message, Rejected, transform

_PAYLOAD = "payload"
_AUTHORIZATION = "authorization"
_BEARER = "Bearer "  # RFC 6750, section 2.1

_NO_TOKEN = JWT.fault("no_token")
_NOT_SIGNABLE = JWT.fault("not_signable")

Place = Annotated[str, Meta(min_length=1)]


class JwtSign(Config):
    """Sign an object of claims: the token takes its place, or goes into a header."""

    jwt: Annotated[JWT, Meta(description="The key, and what every token says.")]
    claims_in: Annotated[
        Place | None,
        Meta(
            description="Where the message has its claims, an object: `payload`, or the name of a "
            "header. They stand over `jwt.claims`. null: the token says only what `jwt` does."
        ),
    ] = field(name="from", default=_PAYLOAD)
    to: Annotated[
        Place,
        Meta(description="Where the token goes: `payload`, or the name of a header."),
    ] = _PAYLOAD
    prefix: Annotated[
        str | None,
        Meta(
            description="What stands before the token. Left out: `Bearer ` in a header called "
            "authorization, else nothing."
        ),
    ] = None

    def check_files(self) -> None:
        """Say where the key can only verify."""
        self.jwt.check_signing("jwt")


class JwtVerify(Config):
    """Verify a token: its claims take its place, or go into a header. Others are rejected."""

    jwt: Annotated[JWT, Meta(description="The key or keys, and what is asked of a token.")]
    token_in: Annotated[
        Place,
        Meta(description="Where the message has the token: `payload`, or the name of a header."),
    ] = field(name="from", default=_PAYLOAD)
    to: Annotated[
        Place | None,
        Meta(
            description="Where the claims go: `payload`, or the name of a header. Left out: the "
            "payload where the token was there, else the header `claims`."
        ),
    ] = None
    prefix: Annotated[
        str | None,
        Meta(
            description="What has to stand before the token, in whatever case. Left out: `Bearer ` "
            "in a header called authorization, else nothing."
        ),
    ] = None


@transform("jwt-sign")
class jwt_sign:  # noqa: N801 - named like the functions that other node types are
    """Sign an object of claims: the token takes its place, or goes into a header.

    What the options of `jwt` set (issuer, audience, times) a message cannot change. The key is
    read when the flow starts.
    """

    def __init__(self, config: JwtSign) -> None:
        self._signer = config.jwt.signer()
        self._from = config.claims_in
        self._to = config.to
        self._prefix = _prefix(config.prefix, config.to)

    def __call__(self, message: Message) -> Message:
        """Return the message with its token."""
        claims = None if self._from is None else _claims(message, self._from)
        return _with(message, self._to, self._prefix + self._signer.sign(claims))


@transform("jwt-verify")
class jwt_verify:  # noqa: N801 - named like the functions that other node types are
    """Verify a token: its claims take its place, or go into a header. Others are rejected.

    A rejected message leaves by `error` as it came, with a `jwt.` fault such as `jwt.expired`. The
    key is read when the flow starts, and when its file has changed.
    """

    def __init__(self, config: JwtVerify) -> None:
        self._verifier = config.jwt.verifier()
        self._from = config.token_in
        self._to = config.to or (_PAYLOAD if config.token_in == _PAYLOAD else "claims")
        self._prefix = _prefix(config.prefix, config.token_in).lower()

    def __call__(self, message: Message) -> Message:
        """Return the message with the claims of its token."""
        return _with(message, self._to, self._verifier.verify(self._token(message)))

    def _token(self, message: Message) -> str:
        value = _found(message, self._from)
        if isinstance(value, bytes | bytearray | memoryview):
            # One character a byte, so that what is no ASCII stays recognizable as no token.
            value = bytes(value).decode("latin-1")
        if not isinstance(value, str):
            kind = "nothing" if value is None else f"a value of type {type(value).__name__}"
            text = f"{_shown(self._from)} has {kind}, expected a token as text or bytes"
            raise Rejected(_NO_TOKEN, text)
        if value[: len(self._prefix)].lower() != self._prefix:
            text = f'{_shown(self._from)} does not begin with "{self._prefix.strip()}"'
            raise Rejected(_NO_TOKEN, text)
        token = value[len(self._prefix) :]
        if not token:
            raise Rejected(_NO_TOKEN, f"{_shown(self._from)} is empty")
        return token


def _prefix(given: str | None, place: str) -> str:
    if given is not None:
        return given
    return _BEARER if place.lower() == _AUTHORIZATION else ""


def _claims(message: Message, place: str) -> Mapping[str, Any]:
    value = _found(message, place)
    if not isinstance(value, Mapping):
        kind = "nothing" if value is None else f"a value of type {type(value).__name__}"
        raise Rejected(_NOT_SIGNABLE, f"{_shown(place)} has {kind}, expected an object of claims")
    return value


def _found(message: Message, place: str) -> Any:
    return message.payload if place == _PAYLOAD else message.headers.get(place)


def _with(message: Message, place: str, value: Any) -> Message:
    if place == _PAYLOAD:
        return message.with_payload(value)
    return message.with_headers(**{place: value})


def _shown(place: str) -> str:
    return "the payload" if place == _PAYLOAD else f"the header {place}"
