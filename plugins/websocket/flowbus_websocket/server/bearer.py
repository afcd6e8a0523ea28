"""The rule ``bearer_jwt``: a token in the header Authorization (RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

from flowbus import Fault, Rejected
from flowbus_websocket.faults import named
from flowbus_websocket.server.client import Caller
from flowbus_websocket.server.refused import Refused

REALM: Final = "flowbus"

_QUOTED: Final = re.compile(
    r"[^\x20-\x21\x23-\x5b\x5d-\x7e]"
)  # what error_description may not have


class Verifier(Protocol):
    """What verifies a token; that of a JWT option does."""

    @property
    def verify(self) -> Callable[[str], dict[str, Any]]:
        """Return the claims of a token; Rejected where it must not be trusted."""


class Bearer:
    """Demands a token that ``verifier`` trusts."""

    def __init__(self, verifier: Verifier) -> None:
        self._verify = verifier.verify

    def claims_of(self, caller: Caller) -> dict[str, Any]:
        """Return the claims of the caller's token; Refused, with the challenge, without a good one."""
        header = caller.request.header("authorization")
        if header is None:
            # Who brings nothing is told nothing but what to bring (section 3.1).
            raise _refused(named("token_missing"), "a bearer token is needed", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise _refused(named("token_missing"), "the token has to come as Bearer", "")
        try:
            return self._verify(token.strip())
        except Rejected as refusal:
            # What keys and names are expected is for the log, not for who does not have them.
            raise _refused(
                refusal.fault, refusal.text, "invalid_token", refusal.fault.name
            ) from None


def _refused(fault: Fault, text: str, error: str, told: str = "") -> Refused:
    challenge = f'Bearer realm="{REALM}"'
    if error:
        description = _QUOTED.sub("'", told)
        challenge += f', error="{error}", error_description="{description}"'
    return Refused("bearer_jwt", fault, text, {"WWW-Authenticate": challenge}, told=told)
