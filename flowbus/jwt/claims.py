"""What is asked of the claims of a token whose signature is good (RFC 7519, section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowbus.errors import Rejected
from flowbus.faults import Fault
from flowbus.jwt.faults import (
    EXPIRED,
    MISSING_CLAIM,
    NOT_YET_VALID,
    TOO_OLD,
    WRONG_AUDIENCE,
    WRONG_CLAIM,
    WRONG_ISSUER,
    WRONG_SUBJECT,
)
from flowbus.problem import listed, quoted

if TYPE_CHECKING:
    from flowbus.jwt.options import JWT

_FAULTS: dict[str, Fault] = {"iss": WRONG_ISSUER, "sub": WRONG_SUBJECT}


def required_values(jwt: JWT) -> dict[str, Any]:
    """Return the claims that a token must have with just these values."""
    named = {"iss": jwt.issuer, "sub": jwt.subject}
    return {**{name: value for name, value in named.items() if value is not None}, **jwt.claims}


class Claims:
    """The claims of one token. ``leeway`` is in seconds; every check raises Rejected."""

    def __init__(self, values: dict[str, Any], leeway: float) -> None:
        self.values = values
        self._leeway = leeway

    def check_times(self, now: float, max_age: float | None) -> None:
        """Refuse a token whose time is over or has not come; ``now`` in seconds since 1970.

        It is valid before exp and from nbf on, and must not come from the future (iat).
        """
        expires, begins, issued = self._time("exp"), self._time("nbf"), self._time("iat")
        if expires is not None and now >= expires + self._leeway:
            raise Rejected(EXPIRED, f"expired {_seconds(now - expires)} ago")
        if begins is not None and now < begins - self._leeway:
            raise Rejected(NOT_YET_VALID, f"valid in {_seconds(begins - now)} only (nbf)")
        if issued is not None and now < issued - self._leeway:
            text = f"issued {_seconds(issued - now)} in the future (iat)"
            raise Rejected(NOT_YET_VALID, text)
        if max_age is None:
            return
        if issued is None:
            raise Rejected(MISSING_CLAIM, "the token has no iat, and max_age needs it")
        if now > issued + max_age + self._leeway:
            text = f"issued {_seconds(now - issued)} ago, max_age is {_seconds(max_age)}"
            raise Rejected(TOO_OLD, text)

    def _time(self, name: str) -> float | None:
        """Return a NumericDate, None where the token has none."""
        value = self.values.get(name)
        if value is None and name not in self.values:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Rejected(WRONG_CLAIM, f"{name} is no number of seconds since 1970")
        return value

    def check_audience(self, wanted: str | tuple[str, ...] | None) -> None:
        """Refuse a token for others; one that names an audience where none is configured, too."""
        found = self.values.get("aud")
        if found is None:
            if wanted is not None:
                raise Rejected(MISSING_CLAIM, "the token has no aud, and audience is configured")
            return
        names = found if isinstance(found, list) else [found]
        if not all(isinstance(name, str) for name in names):
            raise Rejected(WRONG_AUDIENCE, "aud is neither a text nor a list of texts")
        shown = listed(map(quoted, names), limit=3) or "nobody"
        if wanted is None:
            raise Rejected(WRONG_AUDIENCE, f"the token is for {shown}; no audience is configured")
        accepted = wanted if isinstance(wanted, tuple) else (wanted,)
        if not set(accepted).intersection(names):
            text = f"the token is for {shown}, not for {listed(map(quoted, accepted), limit=3)}"
            raise Rejected(WRONG_AUDIENCE, text)

    def check_value(self, name: str, wanted: Any) -> None:
        """Refuse a token that lacks a claim or has it with another value."""
        if name not in self.values:
            raise Rejected(MISSING_CLAIM, f"the token has no {quoted(name)}")
        found = self.values[name]
        if not _same(found, wanted):
            fault = _FAULTS.get(name, WRONG_CLAIM)
            if isinstance(found, str) and isinstance(wanted, str):
                text = f"{name} is {quoted(found)}, expected {quoted(wanted)}"
            else:
                text = f"{quoted(name)} has another value than the one that is configured"
            raise Rejected(fault, text)

    def check_present(self, name: str) -> None:
        """Refuse a token that lacks a claim; null is no value."""
        if self.values.get(name) is None:
            raise Rejected(MISSING_CLAIM, f"the token has no {quoted(name)}")


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal; in Python true would also be 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 1e6 else f"{seconds / 86400:.0f} days"
