"""The TLS options of a flow file, and what a plugin does with them.

What does the work is imported when it is asked for: most flows have no TLS, and start sooner.
"""

from __future__ import annotations

import ssl
from typing import Annotated, Any, Literal, Protocol

import trio
from msgspec import Meta

from flowbus.config import FilePath
from flowbus.faults import Fault
from flowbus.secrets import Secret
from flowbus.tls.faults import tls_error_text, tls_fault, tls_faults
from flowbus.tls.identity import ServerIdentity
from flowbus.tls.values import Kind, Version


class Reporter(Protocol):
    """What a node or connection says of itself: NodeIO, ConnectionIO."""

    def connected(self, text: str = "") -> None:
        """It does its job."""

    def degraded(self, fault: Fault | str, text: str) -> None:
        """It works but something is wrong."""


class TLS(ServerIdentity):
    """How to secure a connection. Files are paths, relative to the flow file, or PEM texts."""

    ca: Annotated[
        FilePath | None,
        Meta(
            description="Certificates of the authorities to trust: a PEM or DER file, a folder as "
            "OpenSSL hashes it, or a PEM text; without it the system's own. A server reads it as "
            "`client_ca`."
        ),
    ] = None
    crl: Annotated[
        FilePath | None,
        Meta(
            description="Revocation lists against which the peer's certificate is checked: a PEM "
            "or DER file, or a PEM text."
        ),
    ] = None
    verify: Annotated[
        bool,
        Meta(
            description="Check the server's certificate. Off, anyone can stand in for the server."
        ),
    ] = True
    ignore: Annotated[
        tuple[Kind, ...],
        Meta(
            description="Errors of the server's certificate that are let through; any other one "
            "still fails. For clients."
        ),
    ] = ()
    server_name: Annotated[
        str | None,
        Meta(
            description="Name that the server's certificate must have, where it is not the host "
            "that is dialled; also sent as SNI."
        ),
    ] = None
    min_version: Annotated[Version, Meta(description="Lowest TLS version to speak.")] = "1.2"
    max_version: Annotated[
        Version | None, Meta(description="Highest TLS version to speak; none: the highest known.")
    ] = None
    ciphers: Annotated[
        str | None,
        Meta(
            description="Cipher suites for TLS 1.2 in OpenSSL's list format; TLS 1.3 has its own."
        ),
    ] = None
    groups: Annotated[
        tuple[str, ...],
        Meta(
            description="Groups for the key exchange by OpenSSL's names: prime256v1, secp384r1. More "
            "than one needs Python 3.15."
        ),
    ] = ()
    psk_identity: Annotated[
        str | None, Meta(description="Name of the pre-shared key `psk_key`; needs Python 3.13.")
    ] = None
    psk_key: Annotated[
        Secret | None,
        Meta(description="Pre-shared key as hex, in place of certificates; needs Python 3.13."),
    ] = None
    client_ca: Annotated[
        FilePath | None,
        Meta(
            description="Authorities of the clients, in the forms of `ca`. A client must then show a "
            "certificate of theirs; see `client_auth`. For servers."
        ),
    ] = None
    client_auth: Annotated[
        Literal["none", "optional", "required"] | None,
        Meta(
            description="Whether clients must show a certificate; without it `required` where there "
            "are authorities for them, else `none`. One that is shown must verify. For servers."
        ),
    ] = None
    sni: Annotated[
        dict[str, ServerIdentity],
        Meta(
            description="Certificates by the name that a client asks for (`*.` for one label); any "
            "other client gets `cert`, or is refused where there is none. For servers."
        ),
    ] = {}  # noqa: RUF012  msgspec copies it
    keylog_file: Annotated[
        FilePath | None,
        Meta(
            description="File to which the keys of every connection are appended, for Wireshark. Who "
            "has it can read what was sent."
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        from flowbus.tls import rules

        rules.check_options(self)

    # ---- for plugins

    def check_as_client(self) -> None:
        """Raise ValueError where a client cannot do with the options.

        For the ``__post_init__`` of a config whose option ``tls`` this is.
        """
        from flowbus.tls import rules

        rules.check_as_client(self)

    def check_as_server(self) -> None:
        """Raise ValueError where a server cannot do with the options.

        For the ``__post_init__`` of a config whose option ``tls`` this is.
        """
        from flowbus.tls import rules

        rules.check_as_server(self)

    def client_context(self) -> ssl.SSLContext:
        """Return a new context for dialling; raises TLSConfigError with the option and the reason.

        Everything that the options ask for happens within its handshake.
        """
        from flowbus.tls import dialling

        return dialling.client_context(self)

    def server_context(self) -> ssl.SSLContext:
        """Return a new context for listening; raises TLSConfigError with the option and the reason."""
        from flowbus.tls import listening

        return listening.server_context(self)

    def name_for(self, host: str) -> str:
        """Return what to pass as ``server_hostname`` when dialling ``host``."""
        return self.server_name or host

    def describe(self, connection: Any) -> dict[str, Any]:
        """Return what a connection came to, after its handshake, as JSON values.

        ``connection`` is a ``trio.SSLStream`` or an ``ssl.SSLObject``. Keys: ``version``
        ("TLSv1.3"), ``cipher``, ``bits`` (of the cipher's key), ``resumed`` (which a pre-shared key
        always is with TLS 1.3, as OpenSSL counts it), and ``peer``: None, or the peer's certificate
        with ``subject`` and ``issuer`` (RFC 4514), ``serial`` (hex), ``names`` (a list),
        ``not_before`` and ``not_after`` (ISO 8601, UTC), ``sha256`` (hex), ``pem`` and ``status``
        ("verified", "not verified", "verified, ignoring expired").
        """
        from flowbus.tls import peer

        status = "verified" if self.verify else "not verified"
        return peer.describe(
            connection, f"{status}, ignoring {', '.join(self.ignore)}" if self.ignore else status
        )

    def say_connected(self, io: Reporter, domain: str, text: str) -> None:
        """Say that a node or connection does its job, or is ``degraded`` where TLS is less than secure.

        ``domain`` is that of its faults: ``ws``, ``mqtt``.
        """
        warnings = self.warnings(domain)
        if warnings:
            io.degraded(warnings[0][0], "; ".join([text, *(why for _, why in warnings)]))
        else:
            io.connected(text)

    def warnings(self, domain: str) -> list[tuple[Fault, str]]:
        """Return what makes connections less than secure, for a status that is ``degraded``."""
        found = []
        if not self.verify:
            found.append(("not_verified", "the certificate is not checked (tls.verify)"))
        if self.ignore:
            text = (
                f"errors of the certificate are let through (tls.ignore): {', '.join(self.ignore)}"
            )
            found.append(("errors_ignored", text))
        if self.keylog_file is not None:
            text = (
                f"the keys of all connections are written to {self.keylog_file} (tls.keylog_file)"
            )
            found.append(("keys_logged", text))
        by_code = {fault.code: fault for fault in tls_faults(domain)}
        return [(by_code[f"{domain}.tls_{kind}"], text) for kind, text in found]

    @staticmethod
    async def shake_hands(stream: trio.SSLStream[Any]) -> None:
        """Do the handshake of a client or server; where it fails, the peer is told why.

        Raises ``trio.BrokenResourceError`` with the ssl error as its cause, for :meth:`fault`.
        """
        from flowbus.tls import alert

        await alert.shake_hands(stream)

    @staticmethod
    def fault(domain: str, error: BaseException) -> Fault | None:
        """Return the fault of ``domain`` for ``error``; None where it is not about TLS."""
        return tls_fault(domain, error)

    @staticmethod
    def faults(domain: str) -> tuple[Fault, ...]:
        """Return every TLS fault of ``domain``, for its entry in the registry."""
        return tls_faults(domain)

    @staticmethod
    def why(error: BaseException) -> str:
        """Return OpenSSL's reason for ``error`` on one line; empty where it is not about TLS."""
        return tls_error_text(error)

    def check_files(self) -> None:
        """Raise TLSConfigError where a file or option cannot be used."""
        from flowbus.tls import filecheck

        filecheck.check_files(self)
