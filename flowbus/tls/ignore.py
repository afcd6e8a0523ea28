"""Verification of a server that lets chosen kinds of errors through, and no others.

Python's ssl verifies all or nothing. So OpenSSL's handshake proves here only that the server has
the key of its certificate, and this verifies the chain before any data is sent: with OpenSSL's
verifier as pyOpenSSL offers it, told to overlook what is to be ignored, and with checks of our own
for what that overlooks beyond. Only for who needs it: it imports pyOpenSSL and cryptography.
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Sequence
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError, X509StoreFlags
from OpenSSL.crypto import Error as OpenSSLError

from flowbus.tls.faults import TLSRefusedError, kind_of_code
from flowbus.tls.hostname import is_for_host
from flowbus.tls.purpose import is_strong, serves
from flowbus.tls.source import Source
from flowbus.tls.values import Kind

#: What cryptography and pyOpenSSL raise for a certificate that OpenSSL has made something of.
_UNREADABLE: Final = (
    ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm, OpenSSLError,
)  # fmt: skip
_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
_TIMES: Final = frozenset({"expired", "not_yet_valid"})
_DEPTH_ZERO_SELF_SIGNED: Final = 18  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
_UNABLE_TO_GET_CRL: Final = 3  # X509_V_ERR_UNABLE_TO_GET_CRL

Chain = Sequence[x509.Certificate]


class Tolerance:
    """Verifies servers; ``ignore`` are the kinds of errors that are let through.

    ``ca`` are the authorities to trust, the system's without it; ``crl`` their revocation lists.
    TLSConfigError where one of them cannot be read.
    """

    def __init__(self, ignore: frozenset[Kind], ca: Source | None, crl: Source | None) -> None:
        self._ignore = ignore
        self._folder = ca.text if ca is not None and ca.is_folder else None
        self._system = ca is None
        self._anchors = [] if ca is None or ca.is_folder else _certificates(ca)
        self._lists = [] if crl is None else _revocations(crl)

    def passed(self, connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        """Verify the server of a handshake that OpenSSL has made. Raises TLSRefusedError."""
        shown = _presented(connection)
        if not shown:
            raise TLSRefusedError("verify_fail", "the server shows no certificate")
        level = connection.context.security_level
        try:
            presented = [x509.load_der_x509_certificate(der) for der in shown]
            self.verify(presented, connection.server_hostname or "", level)
        except _UNREADABLE as error:
            text = f"the certificate cannot be read: {error}"
            raise TLSRefusedError("verify_fail", text) from None

    def failed(self, error: ssl.SSLError) -> ssl.SSLError:
        """Return the error as it is."""
        return error

    def verify(self, presented: Chain, host: str, level: int = 2) -> None:
        """Verify the certificates that a server shows, its own first. Raises TLSRefusedError.

        ``level`` is OpenSSL's security level.
        """
        chain = self._built(presented)
        now = datetime.datetime.now(datetime.UTC)
        if not self._ignore.isdisjoint(_TIMES):
            self._check_times(chain, now)
        if "wrong_usage" not in self._ignore and not serves(chain):
            raise TLSRefusedError("wrong_usage", "unsuitable certificate purpose")
        if not is_strong(chain, level):
            raise TLSRefusedError("verify_fail", "a key or signature of the chain is too weak")
        if "hostname_mismatch" not in self._ignore and not is_for_host(chain[0], host):
            raise TLSRefusedError("cn_mismatch", f"the certificate is not valid for {host!r}")

    def _check_times(self, chain: Chain, now: datetime.datetime) -> None:
        """Check the dates of a chain that OpenSSL has not looked at."""
        if "expired" not in self._ignore and any(now > c.not_valid_after_utc for c in chain):
            raise TLSRefusedError("cert_expired", "certificate has expired")
        if "not_yet_valid" not in self._ignore and any(now < c.not_valid_before_utc for c in chain):
            raise TLSRefusedError("cert_not_yet_valid", "certificate is not yet valid")

    def _built(self, presented: Chain) -> list[x509.Certificate]:
        """Return the chain up to what is trusted, or may count as trusted."""
        trusted: list[x509.Certificate] = []
        with_lists = bool(self._lists)
        while True:
            try:
                return self._verified(presented, trusted, with_lists)
            except X509StoreContextError as error:
                code, _, text = error.errors
            if code == _UNABLE_TO_GET_CRL and with_lists and "crl_unavailable" in self._ignore:
                with_lists = False
            elif not trusted and (more := self._tolerated(code, presented)):
                trusted = more
            else:
                raise TLSRefusedError(kind_of_code(code), str(text))

    def _tolerated(self, code: int, presented: Chain) -> list[x509.Certificate]:
        """Return what has to count as trusted so that this error of the verifier is let through."""
        own = presented[0]
        if code == _DEPTH_ZERO_SELF_SIGNED and _signed_itself(own):
            return [own] if "self_signed" in self._ignore else []
        unknown = code == _DEPTH_ZERO_SELF_SIGNED or kind_of_code(code) == "unknown_ca"
        return list(presented) if unknown and "untrusted" in self._ignore else []

    def _verified(
        self, presented: Chain, trusted: Chain, with_lists: bool
    ) -> list[x509.Certificate]:
        store = X509Store()
        self._load(store)
        for certificate in {*self._anchors, *trusted}:
            store.add_cert(X509.from_cryptography(certificate))
        flags = X509StoreFlags.PARTIAL_CHAIN
        if not self._ignore.isdisjoint(_TIMES):
            flags |= _NO_CHECK_TIME
        if with_lists:
            flags |= X509StoreFlags.CRL_CHECK
            for revocations in self._usable_lists(presented[0]):
                store.add_crl(revocations)
        store.set_flags(flags)
        own, *others = (X509.from_cryptography(certificate) for certificate in presented)
        found = X509StoreContext(store, own, others).get_verified_chain()
        return [certificate.to_cryptography() for certificate in found]

    def _load(self, store: X509Store) -> None:
        if self._folder is not None:
            store.load_locations(None, self._folder)
        elif self._system:
            paths = ssl.get_default_verify_paths()
            if paths.cafile or paths.capath:
                store.load_locations(paths.cafile, paths.capath)

    def _usable_lists(self, certificate: x509.Certificate) -> list[x509.CertificateRevocationList]:
        """Return the lists to check against; those out of date only where OpenSSL looks at dates."""
        if self._ignore.isdisjoint(_TIMES):
            return self._lists
        now = datetime.datetime.now(datetime.UTC)
        usable = [item for item in self._lists if _is_current(item, now)]
        issuer = certificate.issuer
        if any(x.issuer == issuer for x in self._lists) and all(x.issuer != issuer for x in usable):
            raise TLSRefusedError("crl_invalid", "the revocation list is out of date")
        return usable


def _certificates(ca: Source) -> list[x509.Certificate]:
    pem = ca.certificates().encode()
    try:
        return x509.load_pem_x509_certificates(pem)
    except _UNREADABLE as error:
        raise ca.invalid(f"cannot be used: {error}") from None


def _revocations(crl: Source) -> list[x509.CertificateRevocationList]:
    lists = crl.revocation_lists()
    try:
        return [x509.load_pem_x509_crl(text.encode()) for text in lists]
    except _UNREADABLE as error:
        raise crl.invalid(f"cannot be used: {error}") from None


def _is_current(item: x509.CertificateRevocationList, now: datetime.datetime) -> bool:
    end = item.next_update_utc
    return item.last_update_utc <= now and (end is None or now <= end)


def _signed_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _presented(connection: ssl.SSLObject | ssl.SSLSocket) -> list[bytes]:
    """Return what the peer showed, in DER. Public from Python 3.13 on; before, one level deeper."""
    public: Any = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    found = connection._sslobj.get_unverified_chain()  # type: ignore[union-attr]
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in found or ()]
