"""The own certificate and its key: what a peer is shown."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from flowbus.config import Config, FilePath
from flowbus.secrets import Secret


class Identity(Config):
    """A certificate and its private key."""

    cert: Annotated[
        FilePath | None,
        Meta(
            description="Own certificate and its chain behind it: a PEM or DER file, or a PEM text."
        ),
    ] = None
    key: Annotated[
        FilePath | None,
        Meta(
            description="Private key of `cert`: a PEM or DER file, or a PEM text; without it the "
            "key is looked for in `cert`."
        ),
    ] = None
    key_password: Annotated[
        Secret | None, Meta(description="Password of an encrypted `key` or of `pkcs12`.")
    ] = None
    pkcs12: Annotated[
        FilePath | None,
        Meta(
            description="Own certificate, its key and chain in one PKCS#12 (PFX) file, in place of "
            "`cert` and `key`."
        ),
    ] = None
    subject: Annotated[
        str | None,
        Meta(
            description="Which certificate of several in `cert` or `pkcs12`: its subject or a part "
            "of it, or Thumbprint= and its SHA-256 as hex."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.pkcs12 is not None and (self.cert is not None or self.key is not None):
            raise ValueError("pkcs12: holds certificate and key; leave out cert and key")
        if self.key is not None and self.cert is None:
            raise ValueError("key: is given without cert; give the certificate that belongs to it")
        if self.key_password is not None and not self.is_given:
            raise ValueError("key_password: is given without cert and key")
        if self.subject is not None and not self.is_given:
            raise ValueError("subject: is given without cert or pkcs12 to pick from")
        if self.subject is not None and not self.subject.strip():
            raise ValueError("subject: must not be empty")

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        texts = [f"{name}={_shown(value)}" for name, value in shown.items() if value is not None]
        return f"{type(self).__name__}({', '.join(texts)})"

    @property
    def is_given(self) -> bool:
        """Whether there is a certificate."""
        return self.cert is not None or self.pkcs12 is not None


class ServerIdentity(Identity):
    """What a server shows for a name: a certificate, or several with keys of different kinds."""

    also: Annotated[
        tuple[Identity, ...],
        Meta(
            description="More certificates for the same names with keys of another kind, such as RSA "
            "beside EC; what the client can do decides. For servers."
        ),
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.also and not self.is_given:
            raise ValueError("also: is given without cert or pkcs12 beside it")
        if not all(identity.is_given for identity in self.also):
            raise ValueError("also: each needs cert or pkcs12")


def _shown(value: object) -> str:
    return repr("(inline PEM)" if isinstance(value, str) and "-----BEGIN " in value else value)
