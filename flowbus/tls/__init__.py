"""TLS for every plugin: the options of a flow file, the contexts they describe, and the faults.

A plugin has an option of type :class:`TLS` and dials with::

    stream = trio.SSLStream(tcp, tls.client_context(), server_hostname=tls.name_for(host))
    await tls.shake_hands(stream)

All that the options ask for happens inside this handshake, also what OpenSSL leaves to others
(``ignore``, pre-shared keys): the context makes the objects that see to it.
"""

from flowbus.tls.faults import (
    TLSConfigError,
    TLSRefusedError,
    tls_error_text,
    tls_fault,
    tls_faults,
)
from flowbus.tls.options import TLS

__all__ = [
    "TLS", "TLSConfigError", "TLSRefusedError", "tls_error_text", "tls_fault", "tls_faults",
]  # fmt: skip
