"""Which TLS options go together. Each rule is broken by a ValueError that begins with the option."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowbus.tls.options import TLS

_CERTIFICATES = ("ca", "client_ca", "client_auth", "cert", "pkcs12", "crl", "ignore", "sni")
_SERVER_ONLY = ("client_ca", "client_auth", "sni", "also")


def check_options(tls: TLS) -> None:
    """Check what holds for clients and servers alike."""
    if tls.max_version == "1.2" and tls.min_version == "1.3":
        raise ValueError("max_version: 1.2 is below min_version 1.3")
    if tls.ciphers is not None and tls.min_version == "1.3":
        raise ValueError("ciphers: TLS 1.3 does not take them; leave them out or allow 1.2")
    if tls.server_name == "":
        raise ValueError("server_name: must not be empty")
    if "" in tls.groups:
        raise ValueError("groups: must not hold an empty name")
    _check_verification(tls)
    _check_clients(tls)
    _check_shared_key(tls)


def _check_verification(tls: TLS) -> None:
    if not tls.verify and tls.crl is not None:
        raise ValueError("crl: has no use with verify false")
    if not tls.verify and tls.ignore:
        raise ValueError("ignore: has no use with verify false, which ignores everything")
    if "crl_unavailable" in tls.ignore and tls.crl is None:
        raise ValueError("ignore: crl_unavailable has no use without crl")


def _check_clients(tls: TLS) -> None:
    if tls.ca is not None and tls.client_ca is not None:
        raise ValueError("client_ca: is what ca means for a server; give one of them")
    if tls.client_auth in ("optional", "required") and tls.client_ca is None and tls.ca is None:
        raise ValueError(
            f"client_auth: {tls.client_auth} needs client_ca, the clients' authorities"
        )
    for name in ("client_ca", "ca"):
        if tls.client_auth == "none" and getattr(tls, name) is not None:
            raise ValueError(f"{name}: has no use with client_auth none")
    if tls.sni:
        _check_names(tls)


def _check_names(tls: TLS) -> None:
    from flowbus.tls.sni import check_names

    check_names(tls.sni)
    for name, identity in tls.sni.items():
        if not identity.is_given:
            raise ValueError(f'sni: "{name}" needs cert or pkcs12')


def _check_shared_key(tls: TLS) -> None:
    if tls.psk_identity is None and tls.psk_key is None:
        return
    if tls.psk_key is None:
        raise ValueError("psk_identity: is given without psk_key")
    if tls.psk_identity is None:
        raise ValueError("psk_key: is given without psk_identity")
    beside = [name for name in _CERTIFICATES if getattr(tls, name)]
    if beside:
        raise ValueError(f"psk_key: a shared key stands for certificates; leave out {beside[0]}")
    if not tls.verify:
        raise ValueError("verify: has no use with psk_key")
    from flowbus.tls.psk import check_key

    check_key(tls.psk_identity, tls.psk_key)


def check_as_client(tls: TLS) -> None:
    """Check what holds for a client; these texts begin with the option of the node, ``tls``."""
    for name in _SERVER_ONLY:
        if getattr(tls, name):
            raise ValueError(f"tls: {name}: is for servers; a client has ca, cert and key")


def check_as_server(tls: TLS) -> None:
    """Check what holds for a server; these texts begin with the option of the node, ``tls``."""
    if not tls.is_given and not tls.sni and tls.psk_key is None:
        raise ValueError(
            "tls: cert: a server needs a certificate: cert and key, pkcs12, sni, or psk_key"
        )
    if not tls.verify:
        raise ValueError("tls: verify: is for clients; a server has client_auth: none or optional")
    for name in ("ignore", "server_name"):
        if getattr(tls, name):
            raise ValueError(f"tls: {name}: is for clients, and this is a server")
    if tls.crl is not None and tls.client_ca is None and tls.ca is None:
        raise ValueError("tls: crl: has no use without client_ca: no client shows a certificate")
