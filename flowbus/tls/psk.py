"""Pre-shared keys (RFC 4279; RFC 8446, section 2.2): one secret at both ends, no certificates.

Python's ssl has them from 3.13 on.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

import msgspec

from flowbus.secrets import Secret
from flowbus.tls.faults import TLSRefusedError, kind_of, tls_error_text
from flowbus.tls.guard import GuardedContext

if TYPE_CHECKING:
    from flowbus.tls.options import TLS

#: Whether this Python can.
OFFERED: Final = hasattr(ssl.SSLContext, "set_psk_client_callback")

LONGEST_IDENTITY: Final = 256  # bytes; PSK_MAX_IDENTITY_LEN of OpenSSL
LONGEST_KEY: Final = 256  # bytes; PSK_MAX_PSK_LEN

#: What TLS 1.2 may use: those without a certificate (RSA-PSK has one) that encrypt.
_CIPHERS: Final = "kECDHEPSK:kDHEPSK:kPSK:!eNULL"


class SharedKey(msgspec.Struct, frozen=True):
    """A key and the identity that says which one it is."""

    identity: str
    key: Secret

    def client_context(self) -> ssl.SSLContext:
        """Return a context that dials with the key."""
        context: Any = GuardedContext(ssl.PROTOCOL_TLS_CLIENT, _KeyGuard())
        context.set_ciphers(_CIPHERS)
        context.set_psk_client_callback(lambda _hint: (self.identity, self._bytes))
        return context  # type: ignore[no-any-return]

    def server_context(self) -> ssl.SSLContext:
        """Return a context that takes clients with the key and no others."""
        context: Any = GuardedContext(ssl.PROTOCOL_TLS_SERVER, _KeyGuard())
        context.set_ciphers(_CIPHERS)
        context.set_psk_server_callback(
            lambda identity: self._bytes if identity == self.identity else b""
        )
        return context  # type: ignore[no-any-return]

    @property
    def _bytes(self) -> bytes:
        return bytes.fromhex(self.key.reveal())


def shared_key(tls: TLS) -> SharedKey | None:
    """Return the key of the options, where one is given."""
    if tls.psk_identity is None or tls.psk_key is None:
        return None
    return SharedKey(tls.psk_identity, tls.psk_key)


def check_key(identity: str, key: Secret) -> None:
    """Raise ValueError where an identity or a key cannot be used."""
    if not OFFERED:
        import sys

        here = ".".join(map(str, sys.version_info[:2]))
        raise ValueError(f"psk_key: pre-shared keys need Python 3.13; this is Python {here}")
    if not 1 <= len(identity.encode()) <= LONGEST_IDENTITY or "\0" in identity:
        raise ValueError(f"psk_identity: needs 1 to {LONGEST_IDENTITY} bytes, none of them NUL")
    try:
        size = len(bytes.fromhex(key.reveal()))
    except ValueError:
        raise ValueError("psk_key: is not hexadecimal: two digits of 0-9, a-f a byte") from None
    if not 1 <= size <= LONGEST_KEY:
        raise ValueError(f"psk_key: needs 1 to {LONGEST_KEY} bytes, has {size}")


class _KeyGuard:
    """Sees that it was the key that let the peer in: OpenSSL would take any certificate as well."""

    def passed(self, connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        if connection.getpeercert(binary_form=True) is not None:
            text = "the peer shows a certificate and does not use the pre-shared key"
            raise TLSRefusedError("psk_invalid", text)
        name, version, _ = connection.cipher() or ("", "", 0)
        if version != "TLSv1.3" and "PSK" not in name:  # no certificate and no key: anybody
            raise TLSRefusedError("psk_invalid", f"{name} does not use the pre-shared key")

    def failed(self, error: ssl.SSLError) -> ssl.SSLError:
        # Neither TLS version says that the key is wrong; it shows in a record that does not decrypt.
        if isinstance(error, ssl.SSLEOFError) or kind_of(error) != "handshake_fail":
            return error
        text = f"identity or key do not fit: {tls_error_text(error)}"
        return TLSRefusedError("psk_invalid", text)
