"""What ``flowbus check`` looks at: every file of the options, whichever side they are for."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from flowbus.tls.context import authorities, check_keylog, trust, tune
from flowbus.tls.dialling import tolerance
from flowbus.tls.identity import ServerIdentity
from flowbus.tls.revocation import refuse_revoked, revocations
from flowbus.tls.showing import show_all

if TYPE_CHECKING:
    from flowbus.tls.options import TLS


def check_files(tls: TLS) -> None:
    """Raise TLSConfigError where a file or option cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tune(context, tls)
    if (ca := authorities(tls)) is not None:
        trust(context, ca)
    if (crl := revocations(tls)) is not None:
        refuse_revoked(context, crl)
    tolerance(tls)
    if tls.keylog_file is not None:
        check_keylog(tls.keylog_file)
    shown: dict[str, ServerIdentity] = {"tls": tls}
    shown |= {f'tls.sni["{name}"]': identity for name, identity in tls.sni.items()}
    for where, identity in shown.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tune(context, tls)
        show_all(identity, context, where)
