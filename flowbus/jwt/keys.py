"""Keys from files and texts, imported once and held to the algorithm that they are for."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from flowbus.errors import ConfigError
from flowbus.jwt.faults import (
    KEY_INVALID,
    KEY_MISMATCH,
    KEY_NOT_FOUND,
    KEY_WEAK,
    LIBRARY_MISSING,
)
from flowbus.problem import listed, quoted
from flowbus.secrets import UnresolvedError, is_inline_key, read_file

if TYPE_CHECKING:
    from joserfc.jwa import JWSAlgModel

    from flowbus.jwt.options import JWT

Operation = Literal["sign", "verify"]

#: The least bytes of a secret: as many as the hash has (RFC 7518, section 3.2).
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
#: The least bits of an RSA key (RFC 7518, sections 3.3 and 3.5).
RSA_BITS = 2048


class NamedKey(NamedTuple):
    """A key of joserfc and the id that tokens name it by, where it has one."""

    kid: str | None
    key: Any

    def __repr__(self) -> str:
        return f"NamedKey(kid={self.kid!r})"


class Keys:
    """The keys of one side, all of them fit for the algorithm."""

    def __init__(self, keys: list[NamedKey], left_out: Mapping[str, str]) -> None:
        self._keys = keys
        self._left_out = left_out  # kid of a key in the set: why it cannot be used

    def to_sign(self) -> NamedKey:
        """Return the one key to sign with; ConfigError where there are several."""
        if len(self._keys) > 1:
            ids = listed(quoted(key.kid or "(none)") for key in self._keys)
            text = f"several keys of the set can sign ({ids}); name one of them"
            raise ConfigError(text, option="key_id", fault=KEY_INVALID)
        return self._keys[0]

    def for_token(self, kid: str | None) -> list[NamedKey]:
        """Return the keys that a token with this key id may be signed with, none for unknown ids."""
        keys = self._keys
        alone = len(keys) == 1
        if kid is None:
            return keys if alone else [key for key in keys if key.kid is None]
        return [key for key in keys if key.kid == kid or (alone and key.kid is None)]

    def why_none(self, kid: str | None) -> str:
        """Return why there is no key for a token with this key id."""
        if kid is None:
            return f"the token names no key (kid), and there are {len(self._keys)}"
        if kid in self._left_out:
            return f"the key {quoted(kid)} cannot be used: {self._left_out[kid]}"
        there = listed(quoted(key.kid) for key in self._keys if key.kid is not None)
        return f"there is no key {quoted(kid)}; there is {there or 'one without an id'}"


def algorithm_named(name: str) -> JWSAlgModel:
    """Return joserfc's implementation of an algorithm; ConfigError where joserfc is missing."""
    try:
        from joserfc.jwa import JWS_ALGORITHMS
    except ModuleNotFoundError:
        text = "tokens need joserfc, which is not installed: pip install 'flowbus[jwt]'"
        raise ConfigError(text, fault=LIBRARY_MISSING) from None
    return next(algorithm for algorithm in JWS_ALGORITHMS if algorithm.name == name)


def load_keys(jwt: JWT, operation: Operation) -> Keys:
    """Read and import the keys of ``jwt``; ConfigError names the option that is wrong."""
    algorithm = algorithm_named(jwt.algorithm)
    with warnings.catch_warnings():  # joserfc warns of what is refused here
        warnings.simplefilter("ignore")
        return _Loader(jwt, algorithm, operation).load()


class UnfitError(Exception):
    """A key that cannot be used; the text says why."""

    def __init__(self, text: str, fault: Any = KEY_INVALID) -> None:
        self.fault = fault
        super().__init__(text)


class _Loader:
    """Loads the keys of one `jwt` object for one operation."""

    def __init__(self, jwt: JWT, algorithm: JWSAlgModel, operation: Operation) -> None:
        self._jwt = jwt
        self._algorithm = algorithm
        self._operation = operation

    def load(self) -> Keys:
        option = "key" if self._jwt.secret is None else "secret"
        try:
            return self._from_secret() if option == "secret" else self._from_key()
        except UnfitError as error:
            raise ConfigError(str(error), option=option, fault=error.fault) from None

    def _from_secret(self) -> Keys:
        from flowbus.jwt.material import key_of_secret

        secret = self._jwt.secret
        assert secret is not None
        key = key_of_secret(secret.reveal())
        self._check(key)
        return Keys([NamedKey(self._jwt.key_id, key)], {})

    def _from_key(self) -> Keys:
        from flowbus.jwt.material import key_of_bytes, key_of_jwk

        value = self._value()
        if isinstance(value, bytes):
            key = key_of_bytes(value, self._jwt.key_password)
            self._check(key)
            return Keys([NamedKey(self._jwt.key_id, key)], {})
        if self._jwt.key_password is not None:
            text = "is for an encrypted PEM or DER file, and key is JSON; leave it out"
            raise ConfigError(text, option="key_password", fault=KEY_INVALID)
        if "keys" in value:
            return self._from_set(value["keys"])
        key = key_of_jwk(value)
        self._check(key)
        if self._jwt.key_id not in (None, key.kid or self._jwt.key_id):
            text = f"the key has the id {quoted(key.kid)}, key_id says {quoted(self._jwt.key_id or '')}"
            raise ConfigError(text, option="key_id", fault=KEY_MISMATCH)
        return Keys([NamedKey(key.kid or self._jwt.key_id, key)], {})

    def _value(self) -> bytes | dict[str, Any]:
        """Return PEM or DER as bytes, JSON as an object."""
        key = self._jwt.key
        if isinstance(key, dict):
            return key
        assert key is not None
        if is_inline_key(key):
            data = key.encode(errors="replace")
        else:
            try:
                data = read_file(Path(key))
            except UnresolvedError as error:
                raise UnfitError(str(error), KEY_NOT_FOUND) from None
        return _json(data) if data.lstrip()[:1] == b"{" else data

    def _from_set(self, members: Any) -> Keys:
        if not isinstance(members, list):
            raise UnfitError("keys of a key set (JWKS) is no list")
        keys: list[NamedKey] = []
        left_out: dict[str, str] = {}
        for kid, key, why in self._members(members):
            if key is not None:
                keys.append(NamedKey(kid, key))
            else:
                left_out[kid or f"number {len(left_out) + 1}"] = why
        if self._jwt.key_id is not None:
            keys = [key for key in keys if key.kid == self._jwt.key_id]
        if not keys:
            raise self._none_fits(left_out)
        return Keys(keys, left_out)

    def _members(self, members: list[Any]) -> Iterator[tuple[str | None, Any, str]]:
        """Yield id, key and reason of each member of a set; RFC 7517, 5, has unfit ones passed over."""
        from flowbus.jwt.material import key_of_jwk

        for member in members:
            kid = member.get("kid") if isinstance(member, dict) else None
            try:
                key = key_of_jwk(member)
                self._check(key)
                yield key.kid, key, ""
            except UnfitError as error:
                yield kid if isinstance(kid, str) else None, None, str(error)

    def _none_fits(self, left_out: Mapping[str, str]) -> ConfigError:
        wanted = self._jwt.key_id
        if wanted is not None:
            why = left_out.get(wanted, "there is none")
            text = f"no key {quoted(wanted)} of the set can {self._operation}: {why}"
            return ConfigError(text, option="key_id", fault=KEY_INVALID)
        reasons = listed((f"{quoted(kid)}: {why}" for kid, why in left_out.items()), limit=3)
        text = f"no key of the set can {self._operation} with {self._jwt.algorithm}"
        return ConfigError(
            f"{text}; {reasons}" if reasons else text, option="key", fault=KEY_MISMATCH
        )

    def _check(self, key: Any) -> None:
        """Raise UnfitError where ``key`` must not be used with the algorithm for the operation."""
        from flowbus.jwt.material import why_unfit

        name = self._algorithm.name
        if unfit := why_unfit(key, self._algorithm, self._operation):
            raise UnfitError(unfit, KEY_MISMATCH)
        if name in SECRET_BYTES and len(key.raw_value) < SECRET_BYTES[name]:
            size = len(key.raw_value)
            raise UnfitError(
                f"{name} needs {SECRET_BYTES[name]} bytes (RFC 7518, 3.2), this has {size}",
                KEY_WEAK,
            )
        if key.key_type == "RSA" and key.raw_value.key_size < RSA_BITS:
            size = key.raw_value.key_size
            raise UnfitError(
                f"{name} needs {RSA_BITS} bits (RFC 7518, 3.3), this has {size}", KEY_WEAK
            )


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise UnfitError("begins like a JSON key (JWK, JWKS) but is not JSON") from None
    assert isinstance(value, dict)  # it begins with a brace
    return value
