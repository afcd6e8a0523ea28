"""Signing: claims in, token out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowbus.errors import Rejected
from flowbus.jwt.compact import to_base64url
from flowbus.jwt.faults import NOT_SIGNABLE
from flowbus.jwt.keys import algorithm_named, load_keys

if TYPE_CHECKING:
    from flowbus.jwt.options import JWT


class Signer:
    """Signs tokens with a key that was imported once; make a new one at every start of a node."""

    def __init__(self, jwt: JWT) -> None:
        self._jwt = jwt
        self._algorithm = algorithm_named(jwt.algorithm)
        named = load_keys(jwt, "sign").to_sign()
        self._key = named.key
        header = {"alg": jwt.algorithm, "typ": jwt.typ or "JWT"}
        if named.kid is not None:
            header["kid"] = named.kid
        self._header = to_base64url(_json(header))

    def sign(self, claims: Mapping[str, Any] | None = None, now: float | None = None) -> str:
        """Return a token with ``claims`` over the configured ones; Rejected where JSON lacks a value.

        What an option sets (``issuer``, ``subject``, ``audience``, ``lifetime``, ...) stands above
        both: a message cannot change it. ``now`` is in seconds since 1970, by default the clock's.
        """
        at = time.time() if now is None else now
        body = to_base64url(_json({**self._jwt.claims, **(claims or {}), **self._fixed(at)}))
        signed = self._header + b"." + body
        signature = to_base64url(self._algorithm.sign(signed, self._key))
        return (signed + b"." + signature).decode()

    def _fixed(self, at: float) -> dict[str, Any]:
        """Return the claims that the options set."""
        jwt = self._jwt
        audience = [*jwt.audience] if isinstance(jwt.audience, tuple) else jwt.audience
        fixed: dict[str, Any] = {
            "iss": jwt.issuer,
            "sub": jwt.subject,
            "aud": audience,
            "iat": int(at),
            "nbf": int(at) if jwt.not_before else None,
            "exp": int(at + jwt.lifetime) if jwt.lifetime is not None else None,
            "jti": os.urandom(16).hex() if jwt.token_id else None,
        }
        return {name: value for name, value in fixed.items() if value is not None}


def _json(value: dict[str, Any]) -> bytes:
    """Return strict JSON in UTF-8; Rejected for a name that is no text, NaN, bytes and the like."""
    odd = next((name for name in value if not isinstance(name, str)), None)
    if odd is not None:
        raise Rejected(NOT_SIGNABLE, f"the name of a claim is a {type(odd).__name__}, not a text")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        raise Rejected(NOT_SIGNABLE, "a text in the claims is no valid Unicode") from None
    except RecursionError:
        raise Rejected(NOT_SIGNABLE, "the claims are nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise Rejected(NOT_SIGNABLE, f"the claims have no JSON form: {error}") from None
