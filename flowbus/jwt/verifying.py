"""Verifying: token in, claims out, or Rejected with the fault."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from flowbus.errors import Rejected
from flowbus.jwt.claims import Claims, required_values
from flowbus.jwt.compact import Parts, check_extensions, json_object, take_apart
from flowbus.jwt.faults import (
    BAD_SIGNATURE,
    MALFORMED,
    UNKNOWN_KEY,
    WRONG_ALGORITHM,
    WRONG_TYPE,
)
from flowbus.jwt.keyfile import KeyFile
from flowbus.jwt.keys import algorithm_named
from flowbus.problem import quoted

if TYPE_CHECKING:
    from flowbus.jwt.options import JWT


class Verifier:
    """Verifies tokens by keys that are imported once, and again when their file has changed.

    Make a new one at every start of a node.
    """

    def __init__(self, jwt: JWT) -> None:
        self._jwt = jwt
        self._algorithm = algorithm_named(jwt.algorithm)
        self._file = KeyFile(jwt)
        self._values = required_values(jwt)

    def verify(self, token: str | bytes, now: float | None = None) -> dict[str, Any]:
        """Return the claims of ``token``; Rejected with a ``jwt.`` fault where it must not be trusted.

        The size is looked at first, then form, header, key, signature, times and claims, in this
        order: nothing in the payload is read before the signature is known to be good. ``now`` is
        in seconds since 1970, by default the clock's.
        """
        parts = take_apart(token, self._jwt.max_size)
        self._check_header(parts.header)
        self._check_signature(parts)
        claims = Claims(json_object(parts.payload, "payload"), self._jwt.leeway)
        at = time.time() if now is None else now
        claims.check_times(at, self._jwt.max_age)
        claims.check_audience(self._jwt.audience)
        for name, value in self._values.items():
            claims.check_value(name, value)
        for name in self._jwt.required:
            claims.check_present(name)
        return claims.values

    def _check_header(self, header: dict[str, Any]) -> None:
        found = header.get("alg")
        if not isinstance(found, str):
            raise Rejected(MALFORMED, "the header names no algorithm (alg)")
        if found != self._jwt.algorithm:
            text = f"the token names {quoted(found)}, {self._jwt.algorithm} is configured"
            raise Rejected(WRONG_ALGORITHM, text)
        check_extensions(header)
        wanted = self._jwt.typ
        if wanted is not None and _media_type(header.get("typ")) != _media_type(wanted):
            raise Rejected(WRONG_TYPE, f"the token's typ is not {quoted(wanted)}")

    def _check_signature(self, parts: Parts) -> None:
        kid = parts.header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise Rejected(MALFORMED, "the key id (kid) in the header is no text")
        keys = self._file.keys()
        found = keys.for_token(kid)
        if not found:
            raise Rejected(UNKNOWN_KEY, keys.why_none(kid) + self._file.trouble)
        verify = self._algorithm.verify
        if not any(verify(parts.signed, parts.signature, named.key) for named in found):
            text = "the signature is not that of the configured key"
            raise Rejected(BAD_SIGNATURE, text + self._file.trouble)


def _media_type(typ: object) -> str:
    """Return a type in one spelling: application/ may be left out, case does not count (RFC 7515, 4.1.9)."""
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""
