"""What has to be known of a certificate without a library for it: the kind of its key.

The structure is that of RFC 5280, section 4.1, in DER (X.690, section 8).
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from typing import Final

_END: Final = "-----END CERTIFICATE-----"
_VERSION: Final = 0xA0  # [0] EXPLICIT Version
_BEFORE_KEY: Final = 5  # serialNumber, signature, issuer, validity, subject

#: OBJECT IDENTIFIER, as it is encoded: the kind of key.
_KINDS: Final = {
    bytes.fromhex("2A864886F70D010101"): "RSA",  # 1.2.840.113549.1.1.1
    bytes.fromhex("2A864886F70D01010A"): "RSA-PSS",  # 1.2.840.113549.1.1.10
    bytes.fromhex("2A8648CE380401"): "DSA",  # 1.2.840.10040.4.1
    bytes.fromhex("2A8648CE3D0201"): "EC",  # 1.2.840.10045.2.1
    bytes.fromhex("2B6570"): "Ed25519",  # 1.3.101.112
    bytes.fromhex("2B6571"): "Ed448",  # 1.3.101.113
}


def key_kind(pem: str) -> str:
    """Return the kind of key of the first certificate in a PEM text: "RSA"; empty where unknown."""
    der = ssl.PEM_cert_to_DER_cert(pem[: pem.index(_END) + len(_END)])
    try:
        return _KINDS.get(_key_algorithm(der), "")
    except (ValueError, IndexError):
        return ""


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as lower-case hex, as ``openssl x509 -fingerprint`` has it."""
    return hashlib.sha256(der).hexdigest()


def _key_algorithm(der: bytes) -> bytes:
    (_, certificate), *_ = _items(der)
    (_, signed), *_ = _items(certificate)
    fields = [value for tag, value in _items(signed) if tag != _VERSION]
    (_, algorithm), *_ = _items(fields[_BEFORE_KEY])
    (_, identifier), *_ = _items(algorithm)
    return identifier


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element in ``data``; all tags here are of one byte."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length >= 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[at + 2 : start], "big")
        at = start + length
        if at > len(data):
            raise ValueError("an element is longer than what holds it")
        yield tag, data[start:at]
