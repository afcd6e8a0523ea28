"""Whether a certificate is made out to a host, by RFC 6125 as OpenSSL's X509_check_host reads it.

OpenSSL does this itself wherever it verifies; this is for ``ignore``.
"""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.x509.oid import NameOID


def is_for_host(certificate: x509.Certificate, host: str) -> bool:
    """Tell whether ``host``, a name or an address, is one of those in the certificate."""
    names = _alternative_names(certificate)
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    wanted = host.rstrip(".").lower()
    if not wanted.isascii():
        wanted = wanted.encode("idna").decode()
    patterns = names.get_values_for_type(x509.DNSName)
    if not patterns:  # the common name counts where there is no other name of a host
        attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        patterns = [str(attribute.value) for attribute in attributes]
    return any(_matches(pattern.lower(), wanted) for pattern in patterns)


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
    return extension.value


def _matches(pattern: str, host: str) -> bool:
    """Compare; a star stands for the whole first label and nothing else."""
    if not pattern.startswith("*."):
        return pattern == host
    label, dot, rest = host.partition(".")
    return bool(label and dot and "." in rest) and rest == pattern[2:]
