"""Revocation lists: the certificates that their authorities have called back."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from flowbus.tls.faults import tls_error_text
from flowbus.tls.source import Source, private_file

if TYPE_CHECKING:
    from flowbus.tls.options import TLS


def revocations(tls: TLS) -> Source | None:
    """Return where the lists are, where there are any."""
    return Source("tls", "crl", tls.crl) if tls.crl is not None else None


def refuse_revoked(context: ssl.SSLContext, crl: Source) -> None:
    """Check the peer's certificate against these lists. Raises TLSConfigError.

    The list of its issuer has to be there (RFC 5280, section 6.3); those of the issuers above are
    not asked for, as few plants have them.
    """
    lists = crl.revocation_lists()
    try:
        with private_file("\n".join(lists) + "\n") as path:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise crl.invalid(f"cannot be used: {tls_error_text(error)}") from None
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
