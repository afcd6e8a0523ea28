"""TLS options of a flow file, and the contexts that they describe."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from flowbus.config import Config, FilePath
from flowbus.faults import Fault
from flowbus.secrets import Secret, UnresolvedError, read_file
from flowbus.tlsfaults import TLSConfigError, tls_error_text, tls_fault, tls_faults

__all__ = ["TLS", "TLSConfigError", "tls_error_text", "tls_fault", "tls_faults"]

Version = Literal["1.2", "1.3"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_CERTIFICATES = ("CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE")
_KEY_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY")


class TLS(Config):
    """How to secure a connection. Files are paths, relative to the flow file, or PEM texts."""

    ca: Annotated[
        FilePath | None,
        Meta(
            description="Certificates of the authorities to trust: a PEM or DER file, a folder as "
            "OpenSSL hashes it, or a PEM text; without it the system's own. For a server: the "
            "authorities of its clients, who must then show a certificate."
        ),
    ] = None
    cert: Annotated[
        FilePath | None,
        Meta(
            description="Own certificate and its chain behind it: a PEM or DER file, or a PEM text."
        ),
    ] = None
    key: Annotated[
        FilePath | None,
        Meta(
            description="Private key of `cert`: a PEM or DER file, or a PEM text; without it the "
            "key is looked for in `cert`."
        ),
    ] = None
    key_password: Annotated[Secret | None, Meta(description="Password of an encrypted `key`.")] = (
        None
    )
    crl: Annotated[
        FilePath | None,
        Meta(
            description="Revocation lists against which the peer's certificate is checked: a PEM "
            "or DER file, or a PEM text."
        ),
    ] = None
    verify: Annotated[
        bool,
        Meta(description="Check the peer's certificate. Off, anyone can stand in for the peer."),
    ] = True
    ciphers: Annotated[
        str | None,
        Meta(
            description="Cipher suites for TLS 1.2 in OpenSSL's list format; TLS 1.3 has its own."
        ),
    ] = None
    min_version: Annotated[Version, Meta(description="Lowest TLS version to speak.")] = "1.2"
    max_version: Annotated[
        Version | None, Meta(description="Highest TLS version to speak; none: the highest known.")
    ] = None
    server_name: Annotated[
        str | None,
        Meta(
            description="Name that the server's certificate must have, where it is not the host "
            "that is dialled; also sent as SNI."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("key: is given without cert; give the certificate that belongs to it")
        if self.key_password is not None and self.cert is None:
            raise ValueError("key_password: is given without cert and key")
        if self.max_version == "1.2" and self.min_version == "1.3":
            raise ValueError("max_version: 1.2 is below min_version 1.3")
        if self.ciphers is not None and self.min_version == "1.3":
            raise ValueError("ciphers: TLS 1.3 does not take them; leave them out or allow 1.2")
        if not self.verify and self.crl is not None:
            raise ValueError("crl: has no use with verify false")
        if self.server_name == "":
            raise ValueError("server_name: must not be empty")

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        texts = [f"{name}={_shown(value)}" for name, value in shown.items() if value is not None]
        return f"{type(self).__name__}({', '.join(texts)})"

    def client_context(self) -> ssl.SSLContext:
        """Return a new context for dialling; raises TLSConfigError with the option and the reason."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._limit(context)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is not None:
            self._trust(context, self.ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        self._revoke(context)
        self._show(context)
        return context

    def server_context(self) -> ssl.SSLContext:
        """Return a new context for listening; raises TLSConfigError with the option and the reason.

        With ``ca`` a client must show a certificate; with ``verify`` false as well it may.
        """
        if self.cert is None:
            raise TLSConfigError("cert_not_found", "tls.cert: a server needs a certificate")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._limit(context)
        if self.ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED if self.verify else ssl.CERT_OPTIONAL
            self._trust(context, self.ca)
        self._revoke(context)
        self._show(context)
        return context

    def name_for(self, host: str) -> str:
        """Return what to pass as ``server_hostname`` when dialling ``host``."""
        return self.server_name or host

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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._limit(context)
        if self.ca is not None:
            self._trust(context, self.ca)
        self._revoke(context)
        self._show(context)

    def _limit(self, context: ssl.SSLContext) -> None:
        try:
            context.minimum_version = _VERSIONS[self.min_version]
            if self.max_version is not None:
                context.maximum_version = _VERSIONS[self.max_version]
        except (ValueError, ssl.SSLError) as error:
            text = f"tls.min_version, tls.max_version: not offered here: {error}"
            raise TLSConfigError("version_invalid", text) from None
        if self.ciphers is None:
            return
        try:
            context.set_ciphers(self.ciphers)
        except (ValueError, ssl.SSLError):
            text = f'tls.ciphers: "{self.ciphers}" names no cipher suite that is known here'
            raise TLSConfigError("cipher_invalid", text) from None

    def _trust(self, context: ssl.SSLContext, ca: str) -> None:
        # An authority below the root may be trusted by itself, as Python does from 3.13 on.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            if _is_folder(ca):
                context.load_verify_locations(capath=ca)
            else:
                context.load_verify_locations(cadata=_certificates("ca", ca))
        except ssl.SSLError as error:
            text = f"tls.ca: {_place(ca)} cannot be used: {tls_error_text(error)}"
            raise TLSConfigError("ca_invalid", text) from None

    def _revoke(self, context: ssl.SSLContext) -> None:
        if self.crl is not None:
            _load_crl(context, self.crl)

    def _show(self, context: ssl.SSLContext) -> None:
        if self.cert is None:
            return
        chain = _certificates("cert", self.cert)
        keys = _keys(self.key if self.key is not None else self.cert)
        password = _Password(self.key_password)
        for last, key in enumerate(keys, 1 - len(keys)):
            try:
                with _private_file(f"{chain}\n{key}\n") as path:
                    context.load_cert_chain(path, password=password)
                break
            except (ssl.SSLError, ValueError) as error:
                if last == 0:
                    raise self._unusable(error, password) from None

    def _unusable(self, error: Exception, password: _Password) -> TLSConfigError:
        reason = getattr(error, "reason", None) or str(error)
        where = _place(self.key if self.key is not None else self.cert or "")
        if "MISMATCH" in reason:
            text = f"tls.key: {where} does not belong to the certificate of tls.cert"
        elif password.was_asked and self.key_password is None:
            text = f"tls.key: {where} is encrypted; give its password as key_password"
        elif password.was_asked:
            text = f"tls.key_password: does not open {where}"
        elif "EE_KEY_TOO_SMALL" in reason or "MD_TOO_WEAK" in reason:
            text = f"tls.cert: {_place(self.cert or '')} is too weak for this OpenSSL ({reason})"
            return TLSConfigError("cert_invalid", text)
        else:
            text = f"tls.key: {where} cannot be used: {reason.replace('_', ' ').lower()}"
        return TLSConfigError("key_invalid", text)


class _Password:
    """Gives the key's password, so that OpenSSL never asks at the terminal."""

    def __init__(self, secret: Secret | None) -> None:
        self._secret = secret
        self.was_asked = False

    def __call__(self) -> str:
        self.was_asked = True
        return self._secret.reveal() if self._secret is not None else ""


def _shown(value: object) -> str:
    return repr("(inline PEM)" if isinstance(value, str) and _is_inline(value) else value)


def _is_inline(text: str) -> bool:
    return "-----BEGIN " in text


def _is_folder(text: str) -> bool:
    return not _is_inline(text) and "\0" not in text and Path(text).is_dir()


def _place(text: str) -> str:
    return "the PEM text" if _is_inline(text) else text


def _read(option: str, text: str) -> str | bytes:
    """Return PEM text, or the bytes of a DER file."""
    if _is_inline(text):
        return text
    try:
        data = read_file(Path(text))
    except UnresolvedError as error:
        raise TLSConfigError(f"{option}_not_found", f"tls.{option}: {error}") from None
    return data.decode("utf-8", "replace") if b"-----BEGIN " in data else data


def _certificates(option: str, text: str) -> str:
    """Return every certificate in ``text``, as PEM and nothing else (OpenSSL stumbles over comments)."""
    data = _read(option, text)
    if isinstance(data, bytes):
        data = ssl.DER_cert_to_PEM_cert(data) if data[:1] == b"\x30" else ""
    found = [match[0] for match in _BLOCK.finditer(data) if match[1] in _CERTIFICATES]
    pem = "\n".join(found)
    if not found or not pem.isascii():
        raise TLSConfigError(
            f"{option}_invalid", f"tls.{option}: {_place(text)} holds no PEM or DER certificate"
        )
    try:  # a certificate that is damaged inside its block shows only when it is loaded
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        why = f"tls.{option}: {_place(text)} cannot be used: {tls_error_text(error)}"
        raise TLSConfigError(f"{option}_invalid", why) from None
    return pem


def _keys(text: str) -> list[str]:
    """Return the first key in ``text`` as PEM; a DER key under each label that it could have."""
    data = _read("key", text)
    if isinstance(data, bytes):
        if data[:1] == b"\x30":
            return [_pem(label, data) for label in _KEY_LABELS]
        data = ""
    found = [match[0] for match in _BLOCK.finditer(data) if match[1].endswith("PRIVATE KEY")]
    if not found:
        raise TLSConfigError("key_invalid", f"tls.key: {_place(text)} holds no private key")
    return found[:1]


def _pem(label: str, data: bytes) -> str:
    body = ssl.DER_cert_to_PEM_cert(data)
    return body.replace(" CERTIFICATE-----", f" {label}-----")


def _load_crl(context: ssl.SSLContext, crl: str) -> None:
    data = _read("crl", crl)
    if isinstance(data, bytes):
        data = _pem("X509 CRL", data) if data[:1] == b"\x30" else ""
    lists = [match[0] for match in _BLOCK.finditer(data) if match[1] == "X509 CRL"]
    if not lists:
        raise TLSConfigError("crl_invalid", f"tls.crl: {_place(crl)} holds no revocation list")
    try:
        with _private_file("\n".join(lists) + "\n") as path:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        text = f"tls.crl: {_place(crl)} cannot be used: {tls_error_text(error)}"
        raise TLSConfigError("crl_invalid", text) from None
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


@contextmanager
def _private_file(text: str) -> Iterator[str]:
    """Make a file that only this user can read, for the calls of ssl that take nothing but a path."""
    import tempfile  # seldom needed, and slow to import

    descriptor, path = tempfile.mkstemp(suffix=".pem")  # created with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        yield path
    finally:
        Path(path).unlink()
