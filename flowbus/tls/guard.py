"""A context whose handshake is not over before somebody else has agreed to the peer.

What OpenSSL cannot do through Python's ssl, such as letting one kind of error through, is done by a
guard right after OpenSSL's own handshake, inside ``do_handshake``. So nobody who uses the context
can forget it, and no byte of data is sent or taken before. ``trio.SSLStream`` shakes hands before
all else; a bare ``SSLObject`` has to be told to.
"""

from __future__ import annotations

import ssl
from typing import Protocol


class Guard(Protocol):
    """Has the last word on a handshake."""

    def passed(self, connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        """OpenSSL is content; raise TLSRefusedError where the peer is not to be accepted."""

    def failed(self, error: ssl.SSLError) -> ssl.SSLError:
        """Return the error to raise for one of OpenSSL's."""


class GuardedContext(ssl.SSLContext):
    """A context without OpenSSL's verification; its guard does it, or needs none."""

    guard: Guard

    def __new__(cls, protocol: int, guard: Guard) -> GuardedContext:
        """Return a new context."""
        self = super().__new__(cls, protocol)
        self.guard = guard
        self.check_hostname = False
        self.verify_mode = ssl.CERT_NONE
        self.sslobject_class = _GuardedObject
        self.sslsocket_class = _GuardedSocket
        return self


def _guard_of(connection: ssl.SSLObject | ssl.SSLSocket) -> Guard:
    context = connection.context
    assert isinstance(context, GuardedContext)
    return context.guard


class _GuardedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            raise _guard_of(self).failed(error) from error
        _guard_of(self).passed(self)


class _GuardedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            raise _guard_of(self).failed(error) from error
        _guard_of(self).passed(self)
