"""The own certificate and its key: what a peer is shown."""

from __future__ import annotations

import ssl
from typing import Annotated

from msgspec import Meta

from flowbus.config import Config, FilePath
from flowbus.secrets import Secret
from flowbus.tls.certificate import key_kind
from flowbus.tls.extra import needed_for
from flowbus.tls.faults import TLSConfigError
from flowbus.tls.source import Source, is_inline, option_error, private_file


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

    def show(self, context: ssl.SSLContext, where: str) -> str:
        """Let ``context`` show the certificate; return the kind of its key, empty where none is given.

        ``where`` is the place in the options, for errors: TLSConfigError.
        """
        if not self.is_given:
            return ""
        chain, keys = self._parts(where)
        password = _Password(None if self._is_picked else self.key_password)
        for last, key in enumerate(keys, 1 - len(keys)):
            try:
                with private_file(f"{chain}\n{key}\n") as path:
                    context.load_cert_chain(path, password=password)
                break
            except (ssl.SSLError, ValueError) as error:
                if last == 0:
                    raise self._unusable(error, password, where) from None
        kind = key_kind(chain)
        if kind == "DSA" and context.maximum_version != ssl.TLSVersion.TLSv1_2:
            text = 'has a DSA key, which TLS 1.3 does not know; set max_version to "1.2"'
            raise option_error(where, "cert", f"{self._cert_source(where)} {text}")
        return kind

    @property
    def _is_picked(self) -> bool:
        return self.pkcs12 is not None or self.subject is not None

    def _parts(self, where: str) -> tuple[str, list[str]]:
        """Return certificate and chain, and the keys of which one should fit, as PEM."""
        if not self._is_picked:
            return self._cert_source(where).certificates(), self._key_source(where).keys()
        with needed_for(f"{where}.{'pkcs12' if self.pkcs12 is not None else 'subject'}"):
            from flowbus.tls.keystore import open_pem, open_pkcs12
        if self.pkcs12 is not None:
            store = open_pkcs12(self._cert_source(where), self.key_password)
        else:
            certificates, keys = self._cert_source(where), self._key_source(where)
            store = open_pem(certificates, keys, self.key_password)
        chain, key = store.pair(self.subject)
        return chain, [key]

    def _cert_source(self, where: str) -> Source:
        if self.pkcs12 is not None:
            return Source(where, "pkcs12", self.pkcs12)
        return Source(where, "cert", self.cert or "")

    def _key_source(self, where: str) -> Source:
        if self.key is not None:
            return Source(where, "key", self.key)
        return self._cert_source(where)

    def _unusable(self, error: Exception, password: _Password, where: str) -> TLSConfigError:
        reason = getattr(error, "reason", None) or str(error)
        place = self._key_source(where)
        if "MISMATCH" in reason:
            text = f"{place} does not belong to the certificate of {where}.cert"
        elif password.was_asked and self.key_password is None:
            text = f"{place} is encrypted; give its password as key_password"
        elif password.was_asked:
            return option_error(where, "key_password", f"does not open {place}")
        elif "EE_KEY_TOO_SMALL" in reason or "MD_TOO_WEAK" in reason:
            return self._cert_source(where).invalid(f"is too weak for this OpenSSL ({reason})")
        else:
            text = f"{place} cannot be used: {reason.replace('_', ' ').lower()}"
        return option_error(where, "key", text)


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

    def show_all(self, context: ssl.SSLContext, where: str) -> None:
        """Let ``context`` show every certificate; ``where`` is the place for TLSConfigError."""
        kinds = {self.show(context, where): where}
        for index, identity in enumerate(self.also):
            place = f"{where}.also[{index}]"
            kind = identity.show(context, place)
            if kind in kinds:
                text = (
                    f"has a key of the same kind ({kind}) as {kinds[kind]}; only one can be shown"
                )
                raise option_error(place, "cert", text)
            kinds[kind] = place


class _Password:
    """Gives the key's password, so that OpenSSL never asks at the terminal."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret
        self.was_asked = False

    def __call__(self) -> str:
        self.was_asked = True
        return self._secret.reveal() if self._secret is not None else ""


def _shown(value: object) -> str:
    return repr("(inline PEM)" if isinstance(value, str) and is_inline(value) else value)
