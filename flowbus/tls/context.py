"""The parts of an SSL context: versions, ciphers, groups, whom to trust, the log of keys."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowbus.problem import listed, quoted
from flowbus.tls.faults import TLSConfigError, tls_error_text
from flowbus.tls.source import Source
from flowbus.tls.values import Version

if TYPE_CHECKING:
    from flowbus.tls.options import TLS

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def authorities(tls: TLS) -> Source | None:
    """Return who is trusted to vouch for the peer; None: for a client those of the system."""
    if tls.client_ca is not None:
        return Source("tls", "client_ca", tls.client_ca)
    return Source("tls", "ca", tls.ca) if tls.ca is not None else None


def tune(context: ssl.SSLContext, tls: TLS) -> None:
    """Set versions, ciphers and groups. Raises TLSConfigError."""
    limit_versions(context, tls.min_version, tls.max_version)
    if tls.ciphers is not None:
        choose_ciphers(context, tls.ciphers)
    if tls.groups:
        choose_groups(context, tls.groups)


def limit_versions(context: ssl.SSLContext, lowest: Version, highest: Version | None) -> None:
    """Speak no TLS below ``lowest`` or above ``highest``. Raises TLSConfigError."""
    try:
        context.minimum_version = _VERSIONS[lowest]
        if highest is not None:
            context.maximum_version = _VERSIONS[highest]
    except (ValueError, ssl.SSLError) as error:
        text = f"tls.min_version, tls.max_version: not offered here: {error}"
        raise TLSConfigError("version_invalid", text) from None


def choose_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    """Use these cipher suites with TLS 1.2. Raises TLSConfigError."""
    try:
        context.set_ciphers(ciphers)
    except (ValueError, ssl.SSLError):
        text = f'tls.ciphers: "{ciphers}" names no cipher suite that is known here'
        raise TLSConfigError("cipher_invalid", text) from None


def choose_groups(context: ssl.SSLContext, groups: Sequence[str]) -> None:
    """Use these groups for the key exchange. Raises TLSConfigError.

    Python's ssl takes a list from 3.15 on, one group before that.
    """
    set_groups: Any = getattr(context, "set_groups", None)
    try:
        if set_groups is not None:
            set_groups(":".join(groups))
        elif len(groups) == 1:
            context.set_ecdh_curve(groups[0])
        else:
            text = "tls.groups: Python takes more than one group from 3.15 on; give one"
            raise TLSConfigError("group_invalid", text)
    except (ValueError, ssl.SSLError):
        named = listed(quoted(group) for group in groups)
        text = f"tls.groups: {named}: not known here; prime256v1 and secp384r1 are usual"
        raise TLSConfigError("group_invalid", text) from None


def trust(context: ssl.SSLContext, ca: Source) -> None:
    """Trust these authorities and no others. Raises TLSConfigError."""
    # An authority below the root may be trusted by itself, as Python does from 3.13 on.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if ca.is_folder:
            context.load_verify_locations(capath=ca.text)
        else:
            context.load_verify_locations(cadata=ca.certificates())
    except ssl.SSLError as error:
        raise ca.invalid(f"cannot be used: {tls_error_text(error)}") from None


def log_keys(context: ssl.SSLContext, path: str) -> None:
    """Append the keys of every connection to a file that only this user can read.

    The format is NSS's, which Wireshark reads. Raises TLSConfigError.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # it may have been there
        finally:
            os.close(descriptor)
        context.keylog_filename = path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        text = f"tls.keylog_file: {path} cannot be written: {reason.lower()}"
        raise TLSConfigError("setup", text) from None


def check_keylog(path: str) -> None:
    """Raise TLSConfigError where no file could be made at ``path``; makes none."""
    file = Path(path)
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise TLSConfigError("setup", f"tls.keylog_file: {path} cannot be written")
