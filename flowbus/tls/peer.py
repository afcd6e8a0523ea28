"""What a secured connection came to, and who is at its other end, as plain JSON values."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterable
from typing import Any, Final

from flowbus.tls.certificate import fingerprint

#: Short names of RFC 4514, section 3, and the usual one for the mail address.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED: Final = str.maketrans({char: f"\\{char}" for char in ',+"\\<>;'})


def describe(connection: Any, status: str) -> dict[str, Any]:
    """Return version, cipher and bits of a connection and the certificate of its peer, or None.

    ``connection`` is a trio.SSLStream or an SSLObject after its handshake; ``status`` is what
    verification said. The key exchange is not told by Python's ssl.
    """
    name, version, bits = connection.cipher() or ("", "", 0)
    der = connection.getpeercert(binary_form=True)
    return {
        "version": connection.version() or version,
        "cipher": name,
        "bits": bits,
        "resumed": connection.session_reused is True,
        "peer": None if der is None else _certificate(der, connection.getpeercert(), status),
    }


def _certificate(der: bytes, parsed: dict[str, Any] | None, status: str) -> dict[str, Any]:
    shown = {"status": status, "sha256": fingerprint(der), "pem": ssl.DER_cert_to_PEM_cert(der)}
    # Python's ssl reads no certificate that it has not verified.
    found = _from_ssl(parsed) if parsed else _from_library(der)
    return {**found, **shown}


def _from_ssl(parsed: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject": _name(parsed.get("subject", ())),
        "issuer": _name(parsed.get("issuer", ())),
        "serial": parsed["serialNumber"],
        "names": [
            value if isinstance(value, str) else _name(value)
            for _, value in parsed.get("subjectAltName", ())
        ],
        "not_before": _time(ssl.cert_time_to_seconds(parsed["notBefore"])),
        "not_after": _time(ssl.cert_time_to_seconds(parsed["notAfter"])),
    }


def _from_library(der: bytes) -> dict[str, Any]:
    """Return what cryptography reads; nothing where it is not installed or cannot read it."""
    try:
        from cryptography import x509
    except ImportError:
        return {}
    try:
        return _read(x509.load_der_x509_certificate(der))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return {}


def _read(certificate: Any) -> dict[str, Any]:
    serial = f"{certificate.serial_number:X}"
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": serial if len(serial) % 2 == 0 else f"0{serial}",
        "names": _names(certificate),
        "not_before": _time(certificate.not_valid_before_utc.timestamp()),
        "not_after": _time(certificate.not_valid_after_utc.timestamp()),
    }


def _names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Write a distinguished name as RFC 4514 does: the most particular part first."""
    texts = [
        "+".join(f"{_SHORT.get(kind, kind)}={value.translate(_ESCAPED)}" for kind, value in part)
        for part in parts
    ]
    return ",".join(reversed(texts))


def _time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
