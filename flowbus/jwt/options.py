"""JWT options of a flow file: the key, what a token says, and what is asked of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from flowbus.config import ByteSize, Config, Key
from flowbus.errors import ConfigError
from flowbus.faults import Fault
from flowbus.jwt.faults import FAULTS
from flowbus.jwt.keys import load_keys
from flowbus.jwt.signing import Signer
from flowbus.jwt.verifying import Verifier
from flowbus.secrets import Secret

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
]  # fmt: skip
Name = Annotated[str, Meta(min_length=1)]

#: Options that set a claim of a signed token, and that claim (RFC 7519, section 4.1).
_CLAIMS = {"issuer": "iss", "subject": "sub", "audience": "aud"}
_TIMES = ("iat", "nbf", "exp")


class JWT(Config):
    """How to sign and verify JSON Web Tokens: one key, one algorithm, and what tokens have to say.

    For plugin authors: give a config an option of this type, as ``bearer_jwt: JWT | None = None``.

    To send a token (a client's ``bearer_jwt``), call ``config.bearer_jwt.sign()`` for every attempt
    to connect: the key is read anew, so a replaced file counts at the next attempt, and the token
    lives from now. ``check_signing("bearer_jwt")`` in the ``check_files`` of the config around it
    has ``flowbus check`` find a key that can only verify. To sign many tokens with the key of now,
    call ``signer()`` once a start and its ``sign`` for each token.

    To demand a token (a server's accept rule), call ``verifier()`` once a start of the node, and
    ``claims = verifier.verify(token)`` for each token; the token comes without ``Bearer``. Rejected
    carries the ``jwt.`` fault of a refusal, with a text that shows no token: answer 401.

    ``sign``, ``signer``, ``verify`` and ``verifier`` raise ConfigError where the key cannot be used;
    its ``fault`` is a ``jwt.`` fault too. Where that must not end a client for good, because the
    file may be put right: ``raise Lost(error.fault, str(error))``. All these faults are in the
    registry already; ``faults()`` lists them, ``fault("no_token")`` gives one.
    """

    algorithm: Annotated[
        Algorithm,
        Meta(
            description="The one signature algorithm; what a token's own header names is never "
            "followed. HS: a shared secret, RS and PS: RSA, ES: EC of the curve P-256, P-384 or "
            "P-521, EdDSA and Ed25519 (two names of the same): Ed25519."
        ),
    ]
    key: Annotated[
        Key | None,
        Meta(
            description="The key: a PEM, DER, JWK or JWKS file, relative to the flow file, a PEM or "
            "JSON text, or a JWK or JWKS as an object. To sign: the private key. To verify: the "
            "public key, a certificate, or a key set, from which the token's kid chooses. The file is "
            "read at every start; to verify, also when it has changed."
        ),
    ] = None
    secret: Annotated[
        Secret | None,
        Meta(
            description="The shared secret of an HS algorithm, used as UTF-8: at least as many bytes "
            "as the hash has (32, 48, 64). One that is not text goes into `key`, as a JWK of type oct."
        ),
    ] = None
    key_password: Annotated[
        Secret | None, Meta(description="Password of an encrypted private `key`.")
    ] = None
    key_id: Annotated[
        Name | None,
        Meta(
            description="To sign: the id (kid) in the token's header, and which key of a set signs. "
            "To verify: the only key of a set to accept, or the id of a key that has none itself."
        ),
    ] = None
    issuer: Annotated[
        Name | None, Meta(description="Who issues the token (iss): set, or demanded.")
    ] = None
    subject: Annotated[
        Name | None, Meta(description="Whom the token is about (sub): set, or demanded.")
    ] = None
    audience: Annotated[
        Name | Annotated[tuple[Name, ...], Meta(min_length=1)] | None,
        Meta(
            description="Whom the token is for (aud), one or several: set, or one of them demanded. "
            "Without it a token that names an audience is refused (RFC 7519, 4.1.3)."
        ),
    ] = None
    claims: Annotated[
        dict[str, Any],
        Meta(description="Further claims, any JSON values: set, or demanded with these values."),
    ] = field(default_factory=dict)
    lifetime: Annotated[
        Annotated[float, Meta(ge=1)] | None,
        Meta(description="To sign: seconds until the token expires (exp); null: it never does."),
    ] = 300.0
    not_before: Annotated[
        bool, Meta(description="To sign: also say that the token is valid from now on (nbf).")
    ] = False
    token_id: Annotated[
        bool, Meta(description="To sign: give every token a random id of its own (jti).")
    ] = False
    typ: Annotated[
        Name | None,
        Meta(
            description="The type in the token's header: set (without it JWT), or demanded (without "
            "it any)."
        ),
    ] = None
    required: Annotated[
        tuple[Name, ...],
        Meta(
            description="To verify: claims that a token must have, whatever their value. Without "
            "exp among them a token that never expires is taken."
        ),
    ] = ()
    leeway: Annotated[
        float,
        Meta(ge=0, le=3600, description="To verify: seconds by which the clocks may differ."),
    ] = 10.0
    max_age: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="To verify: seconds since a token was issued (iat), at the most."),
    ] = None
    max_size: Annotated[
        ByteSize,
        Meta(le=1 << 20, description="To verify: the largest token in bytes; a larger one is not looked into."),
    ] = 8192  # fmt: skip

    def __post_init__(self) -> None:
        if (self.key is None) == (self.secret is None):
            raise ValueError("key, secret: give one of them, the key or the shared secret")
        if self.secret is not None and not self.algorithm.startswith("HS"):
            raise ValueError(f"secret: goes with an HS algorithm; {self.algorithm} needs a key")
        if self.key_password is not None and self.key is None:
            raise ValueError("key_password: is given without key")
        for option, claim in _CLAIMS.items():
            if claim in self.claims and getattr(self, option) is not None:
                raise ValueError(f"claims: {claim} is what {option} says; leave one of them out")
        for claim in _TIMES:
            if claim in self.claims:
                raise ValueError(
                    f"claims: {claim} is a time; lifetime, not_before and max_age are for those"
                )

    def __repr__(self) -> str:
        hidden = {"key": "(not shown)", "claims": f"{len(self.claims)} values"}
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        texts = [f"{n}={hidden.get(n, repr(v))}" for n, v in shown.items() if v not in (None, ())]
        return f"{type(self).__name__}({', '.join(texts)})"

    def signer(self) -> Signer:
        """Read the key and return what signs with it; ConfigError where it cannot be used."""
        return Signer(self)

    def verifier(self) -> Verifier:
        """Read the key or keys and return what verifies by them; ConfigError as for signer.

        It looks at the file of the key before each token, and takes a changed one as it is.
        """
        return Verifier(self)

    def sign(self, claims: Mapping[str, Any] | None = None, now: float | None = None) -> str:
        """Read the key and return a fresh token, as :meth:`Signer.sign` does."""
        return self.signer().sign(claims, now)

    def verify(self, token: str | bytes, now: float | None = None) -> dict[str, Any]:
        """Read the keys and return the claims of a token, as :meth:`Verifier.verify` does."""
        return self.verifier().verify(token, now)

    @staticmethod
    def faults() -> tuple[Fault, ...]:
        """Return every fault of the domain ``jwt``; the registry has them already."""
        return FAULTS

    @staticmethod
    def fault(name: str) -> Fault:
        """Return one of these faults, for instance ``no_token`` where a request brought none."""
        return next(fault for fault in FAULTS if fault.code == f"jwt.{name}")

    def check_files(self) -> None:
        """Raise ConfigError at the option that is wrong: a key that cannot be read or does not fit."""
        load_keys(self, "verify")

    def check_signing(self, option: str = "jwt") -> None:
        """Raise ConfigError where the key is good and yet cannot sign; for who signs with it.

        ``option`` is the name under which this object stands in the config that asks.
        """
        try:
            load_keys(self, "verify")
        except ConfigError:
            return  # check_files says so
        try:
            load_keys(self, "sign").to_sign()
        except ConfigError as error:
            place = f"{option}.{error.option}" if error.option else option
            raise ConfigError(error.text, option=place, fault=error.fault) from None
