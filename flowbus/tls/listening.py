"""The context of a server."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from flowbus.tls import rules
from flowbus.tls.context import authorities, log_keys, trust, tune
from flowbus.tls.faults import TLSConfigError
from flowbus.tls.identity import ServerIdentity
from flowbus.tls.psk import shared_key
from flowbus.tls.revocation import refuse_revoked, revocations
from flowbus.tls.showing import show_all
from flowbus.tls.sni import NamedContexts

if TYPE_CHECKING:
    from flowbus.tls.options import TLS


def server_context(tls: TLS) -> ssl.SSLContext:
    """Return a new context for listening. Raises TLSConfigError."""
    try:
        rules.check_as_server(tls)
    except ValueError as error:
        kind = "setup" if tls.is_given or tls.sni or tls.psk_key is not None else "cert_not_found"
        raise TLSConfigError(kind, str(error)) from None
    context = _first_context(tls)
    if tls.sni:
        contexts = {
            name: _context(tls, identity, f'tls.sni["{name}"]')
            for name, identity in tls.sni.items()
        }
        context.sni_callback = NamedContexts(contexts, has_default=tls.is_given)
    return context


def _first_context(tls: TLS) -> ssl.SSLContext:
    key = shared_key(tls)
    if key is None:
        return _context(tls, tls, "tls")
    context = key.server_context()
    tune(context, tls)
    if tls.keylog_file is not None:
        log_keys(context, tls.keylog_file)
    return context


def _context(tls: TLS, identity: ServerIdentity, where: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tune(context, tls)
    _authorize(context, tls)
    show_all(identity, context, where)
    if tls.keylog_file is not None:
        log_keys(context, tls.keylog_file)
    return context


def _authorize(context: ssl.SSLContext, tls: TLS) -> None:
    ca = authorities(tls)
    if ca is None or tls.client_auth == "none":
        return
    optional = tls.client_auth == "optional"
    context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    trust(context, ca)
    if (crl := revocations(tls)) is not None:
        refuse_revoked(context, crl)
