"""The handshake on a stream, with the alert that says why where it fails."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import trio

from flowbus.tls.faults import TLSRefusedError

#: Seconds for the peer to take an alert of a few bytes, which hardly ever has to wait.
_PATIENCE: Final = 1.0
_GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


async def shake_hands(stream: trio.SSLStream[Any]) -> None:
    """Do the handshake; where OpenSSL refuses the peer, tell the peer why (RFC 8446, section 6.2).

    Raises as ``stream.do_handshake()``, which leaves the alert unsent: the peer would see a
    connection that ends, and its operator would look for the mistake in the network.
    """
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        if not _is_refusal_of_a_guard(error):
            await _send_alert(stream)
        raise


def _is_refusal_of_a_guard(error: trio.BrokenResourceError) -> bool:
    """Tell whether OpenSSL was content: what it has left to send would end the handshake well."""
    cause = error.__cause__
    return isinstance(cause, TLSRefusedError) and cause.__cause__ is None


async def _send_alert(stream: trio.SSLStream[Any]) -> None:
    pending = stream._outgoing.read()
    if pending:
        with trio.move_on_after(_PATIENCE), suppress(*_GONE):
            await stream.transport_stream.send_all(pending)
