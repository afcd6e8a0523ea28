"""The handshake on a stream, with the alert that says why where it fails."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import trio

from flowbus.tls.faults import TLSRefusedError

#: Seconds for the peer to take an alert of a few bytes, which hardly ever has to wait.
_PATIENCE: Final = 1.0


async def shake_hands(stream: trio.SSLStream[Any]) -> None:
    """Do the handshake; where OpenSSL refuses the peer, tell the peer why (RFC 8446, section 6.2).

    Raises as ``stream.do_handshake()``, which leaves the alert unsent: the peer would see a
    connection that ends, and its operator would look for the mistake in the network.
    """
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        # What is left after a guard's refusal is no alert: it would end the handshake well.
        if not isinstance(error.__cause__, TLSRefusedError):
            await _send_alert(stream)
        raise


async def _send_alert(stream: trio.SSLStream[Any]) -> None:
    pending = stream._outgoing.read()
    if pending:
        with trio.move_on_after(_PATIENCE), suppress(OSError, trio.BrokenResourceError):
            await stream.transport_stream.send_all(pending)
