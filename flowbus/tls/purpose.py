"""Whether a chain may be used by a server, and is strong enough, as OpenSSL decides it.

OpenSSL does this itself wherever it verifies; this is for ``ignore``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

_SERVER: Final = (
    ExtendedKeyUsageOID.SERVER_AUTH,
    x509.ObjectIdentifier("2.16.840.1.113730.4.1"),  # Netscape's server gated cryptography
    x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),  # Microsoft's
)
_NETSCAPE_TYPE: Final = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
_NETSCAPE_SERVER: Final = 0x40

#: Security level: bits of RSA and DSA keys, of elliptic curves, of digests (SSL_CTX_set_security_level).
_LEVELS: Final = {
    0: (0, 0, 0),
    1: (1024, 160, 160),
    2: (2048, 224, 224),
    3: (3072, 256, 256),
    4: (7680, 384, 384),
    5: (15360, 512, 512),
}


def serves(chain: Sequence[x509.Certificate]) -> bool:
    """Tell whether every certificate of a chain, the server's own first, allows a TLS server."""
    return all(_extended(certificate) for certificate in chain) and _key_usage(chain[0])


def is_strong(chain: Sequence[x509.Certificate], level: int) -> bool:
    """Tell whether keys, and signatures but the last one's, reach OpenSSL's security level."""
    size, curve, digest = _LEVELS[level]
    return all(_size_reaches(c.public_key(), size, curve) for c in chain) and all(
        c.signature_hash_algorithm is None or c.signature_hash_algorithm.digest_size * 8 >= digest
        for c in chain[:-1]
    )


def _size_reaches(key: Any, size: int, curve: int) -> bool:
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey):
        return key.key_size >= size
    return not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size >= curve


def _extended(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(purpose in _SERVER for purpose in usage)


def _key_usage(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    try:
        kind = extensions.get_extension_for_oid(_NETSCAPE_TYPE).value
        if isinstance(kind, x509.UnrecognizedExtension) and not kind.value[-1] & _NETSCAPE_SERVER:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.digital_signature or usage.key_encipherment or usage.key_agreement
