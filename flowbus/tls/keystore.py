"""Certificates with their keys in one file: PKCS#12, or a bundle of PEM, and the choice of one.

Only for who needs it: it imports cryptography.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from cryptography.x509 import Certificate, load_pem_x509_certificates

from flowbus.problem import listed, quoted
from flowbus.secrets import Secret
from flowbus.tls.certificate import fingerprint
from flowbus.tls.faults import TLSConfigError
from flowbus.tls.source import Source, option_error

_THUMBPRINT: Final = "thumbprint="


class KeyStore:
    """Certificates and private keys that belong to some of them."""

    def __init__(
        self, where: str, certificates: Sequence[Certificate], keys: Sequence[Any]
    ) -> None:
        self._where = where
        self._certificates = certificates
        self._keys = {_public(key.public_key()): key for key in keys}

    def pair(self, subject: str | None) -> tuple[str, str]:
        """Return a certificate with its chain behind it, and its key, both as PEM.

        ``subject`` picks it: its subject, a part of that which no other has, or
        ``Thumbprint=<SHA-256>``. Without it, it is the first that has a key.
        """
        owned = [c for c in self._certificates if _public(c.public_key()) in self._keys]
        if not owned:
            text = "none of the private keys belongs to one of the certificates"
            raise option_error(self._where, "key", text)
        chosen = owned[0] if subject is None else self._chosen(owned, subject)
        chain = "".join(_pem(certificate) for certificate in self._chain(chosen))
        return chain, _pem_key(self._keys[_public(chosen.public_key())])

    def _chosen(self, owned: Sequence[Certificate], subject: str) -> Certificate:
        found = _matching(owned, subject)
        if len(found) == 1:
            return found[0]
        there = listed(quoted(certificate.subject.rfc4514_string()) for certificate in owned)
        how = "fits none of" if not found else "fits more than one of"
        text = f"{quoted(subject)} {how} the certificates that have a key: {there}"
        raise option_error(self._where, "subject", text)

    def _chain(self, first: Certificate) -> list[Certificate]:
        chain = [first]
        others = [certificate for certificate in self._certificates if certificate != first]
        while chain[-1].issuer != chain[-1].subject:
            issuer = next((c for c in others if c.subject == chain[-1].issuer), None)
            if issuer is None or issuer in chain:
                break
            chain.append(issuer)
        return chain


def open_pkcs12(source: Source, password: Secret | None) -> KeyStore:
    """Read a PKCS#12 (PFX) file, RFC 7292."""
    data = source.read()
    if isinstance(data, str) or data[:1] != b"\x30":
        raise source.invalid("is no PKCS#12 file")
    try:
        key, certificate, others = load_key_and_certificates(data, _bytes(password))
    except ValueError as error:
        raise _unreadable(source, password, error) from None
    if key is None or certificate is None:
        raise source.invalid("holds no certificate that has a private key")
    return KeyStore(source.where, [certificate, *others], [key])


def open_pem(certificates: Source, keys: Source, password: Secret | None) -> KeyStore:
    """Read a bundle of PEM; ``keys`` may be in a file of their own."""
    pem = certificates.certificates()
    try:
        found = load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise certificates.invalid(f"cannot be used: {error}") from None
    texts = keys.keys()
    return KeyStore(certificates.where, found, [_key(keys, text, password) for text in texts])


def _key(source: Source, pem: str, password: Secret | None) -> Any:
    encrypted = "ENCRYPTED" in pem
    try:
        return load_pem_private_key(pem.encode(), _bytes(password) if encrypted else None)
    except (ValueError, TypeError) as error:
        if encrypted:
            raise locked(source.where, str(source), password) from None
        raise option_error(source.where, "key", f"{source} cannot be used: {error}") from None


def locked(where: str, place: str, password: Secret | None) -> TLSConfigError:
    """Return the error for a key that no password, or the wrong one, was given for."""
    if password is None:
        return option_error(
            where, "key", f"{place} is encrypted; give its password as key_password"
        )
    return option_error(where, "key_password", f"does not open {place}")


def _unreadable(source: Source, password: Secret | None, error: ValueError) -> TLSConfigError:
    if "password" in str(error).lower():
        return locked(source.where, str(source), password)
    return source.invalid(f"cannot be used as PKCS#12: {error}")


def _matching(owned: Sequence[Certificate], subject: str) -> list[Certificate]:
    if subject.casefold().startswith(_THUMBPRINT):
        wanted = subject[len(_THUMBPRINT) :].replace(":", "").replace(" ", "").casefold()
        return [c for c in owned if fingerprint(_der(c)) == wanted]
    wanted_parts = _parts(subject)
    exact = [c for c in owned if _parts(c.subject.rfc4514_string()) == wanted_parts]
    wanted = ",".join(part.strip() for part in subject.split(",")).casefold()
    return exact or [c for c in owned if wanted in c.subject.rfc4514_string().casefold()]


def _parts(subject: str) -> list[str]:
    """Return the parts of a subject in an order that does not depend on who wrote it."""
    return sorted(
        "=".join(s.strip() for s in part.split("=")).casefold() for part in subject.split(",")
    )


def _bytes(password: Secret | None) -> bytes | None:
    return None if password is None else password.reveal().encode()


def _der(certificate: Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _pem(certificate: Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _pem_key(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
