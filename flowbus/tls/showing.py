"""How a context gets the own certificate, to show it to the peer."""

from __future__ import annotations

import ssl

from flowbus.secrets import Secret
from flowbus.tls.certificate import key_kind
from flowbus.tls.extra import needed_for
from flowbus.tls.faults import TLSConfigError
from flowbus.tls.identity import Identity, ServerIdentity
from flowbus.tls.source import Source, option_error, private_file


def show_all(identity: ServerIdentity, context: ssl.SSLContext, where: str) -> None:
    """Let ``context`` show every certificate of a server's name; ``where`` as for :func:`show`."""
    kinds = {show(identity, context, where): where}
    for index, other in enumerate(identity.also):
        place = f"{where}.also[{index}]"
        kind = show(other, context, place)
        if kind in kinds:
            text = f"has a key of the same kind ({kind}) as {kinds[kind]}; only one can be shown"
            raise option_error(place, "cert", text)
        kinds[kind] = place


def show(identity: Identity, context: ssl.SSLContext, where: str) -> str:
    """Let ``context`` show a certificate; return the kind of its key, empty where none is given.

    ``where`` is the place in the options (``tls``), for errors: TLSConfigError.
    """
    if not identity.is_given:
        return ""
    return _Pair(identity, where).show(context)


class _Pair:
    """A certificate and its key, at their place in the options."""

    def __init__(self, identity: Identity, where: str) -> None:
        self._where = where
        self._password = identity.key_password
        self._subject = identity.subject
        self._is_pkcs12 = identity.pkcs12 is not None
        option = "pkcs12" if self._is_pkcs12 else "cert"
        self._cert = Source(where, option, identity.pkcs12 or identity.cert or "")
        self._key = self._cert if identity.key is None else Source(where, "key", identity.key)

    def show(self, context: ssl.SSLContext) -> str:
        chain, keys = self._read()
        # What comes out of a store is open already.
        asked = _Password(None if self._is_picked else self._password)
        for last, key in enumerate(keys, 1 - len(keys)):
            try:
                with private_file(f"{chain}\n{key}\n") as path:
                    context.load_cert_chain(path, password=asked)
                break
            except (ssl.SSLError, ValueError) as error:
                if last == 0:
                    raise self._unusable(error, asked) from None
        kind = key_kind(chain)
        if kind == "DSA" and context.maximum_version != ssl.TLSVersion.TLSv1_2:
            text = 'has a DSA key, which TLS 1.3 does not know; set max_version to "1.2"'
            raise self._cert.invalid(text)
        return kind

    @property
    def _is_picked(self) -> bool:
        return self._is_pkcs12 or self._subject is not None

    def _read(self) -> tuple[str, list[str]]:
        """Return certificate and chain, and the keys of which one should fit, as PEM."""
        if not self._is_picked:
            return self._cert.certificates(), self._key.keys()
        with needed_for(f"{self._where}.{'pkcs12' if self._is_pkcs12 else 'subject'}"):
            from flowbus.tls.keystore import open_pem, open_pkcs12
        if self._is_pkcs12:
            store = open_pkcs12(self._cert, self._password)
        else:
            store = open_pem(self._cert, self._key, self._password)
        chain, key = store.pair(self._subject)
        return chain, [key]

    def _unusable(self, error: Exception, asked: _Password) -> TLSConfigError:
        reason = getattr(error, "reason", None) or str(error)
        if "MISMATCH" in reason:
            text = f"{self._key} does not belong to the certificate of {self._where}.cert"
        elif asked.was_asked and self._password is None:
            text = f"{self._key} is encrypted; give its password as key_password"
        elif asked.was_asked:
            return option_error(self._where, "key_password", f"does not open {self._key}")
        elif "EE_KEY_TOO_SMALL" in reason or "MD_TOO_WEAK" in reason:
            return self._cert.invalid(f"is too weak for this OpenSSL ({reason})")
        else:
            text = f"{self._key} cannot be used: {reason.replace('_', ' ').lower()}"
        return option_error(self._where, "key", text)


class _Password:
    """Gives the key's password, so that OpenSSL never asks at the terminal."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret
        self.was_asked = False

    def __call__(self) -> str:
        self.was_asked = True
        return self._secret.reveal() if self._secret is not None else ""
