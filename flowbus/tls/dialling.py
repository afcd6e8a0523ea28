"""The context of a client."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from flowbus.tls import rules
from flowbus.tls.context import authorities, log_keys, trust, tune
from flowbus.tls.extra import needed_for
from flowbus.tls.faults import TLSConfigError
from flowbus.tls.guard import Guard, GuardedContext
from flowbus.tls.psk import shared_key
from flowbus.tls.revocation import refuse_revoked, revocations
from flowbus.tls.showing import show

if TYPE_CHECKING:
    from flowbus.tls.options import TLS


def client_context(tls: TLS) -> ssl.SSLContext:
    """Return a new context for dialling. Raises TLSConfigError."""
    try:
        rules.check_as_client(tls)
    except ValueError as error:
        raise TLSConfigError("setup", str(error)) from None
    context = _unproven(tls)
    tune(context, tls)
    show(tls, context, "tls")
    if tls.keylog_file is not None:
        log_keys(context, tls.keylog_file)
    return context


def _unproven(tls: TLS) -> ssl.SSLContext:
    """Return a context that knows whom to believe, and no more."""
    key = shared_key(tls)
    if key is not None:
        return key.client_context()
    guard = tolerance(tls)
    if guard is not None:
        return GuardedContext(ssl.PROTOCOL_TLS_CLIENT, guard)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify and "hostname_mismatch" not in tls.ignore
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    elif (ca := authorities(tls)) is not None:
        trust(context, ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if (crl := revocations(tls)) is not None:
        refuse_revoked(context, crl)
    return context


def tolerance(tls: TLS) -> Guard | None:
    """Return what verifies the server in OpenSSL's place; None where OpenSSL can do it itself.

    Raises TLSConfigError.
    """
    ignored = frozenset(tls.ignore)
    if ignored <= {"hostname_mismatch"}:
        return None
    with needed_for("tls.ignore"):
        from flowbus.tls.ignore import Tolerance
    return Tolerance(ignored, authorities(tls), revocations(tls))
