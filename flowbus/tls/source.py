"""What an option of TLS gives: a file in PEM or DER, or a PEM text, and what is found in it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from flowbus.secrets import UnresolvedError, read_file
from flowbus.tls.faults import TLSConfigError, tls_error_text

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_CERTIFICATES: Final = ("CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE")
_KEY_LABELS: Final = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY")

#: Options whose faults are those of another one.
_KINDS: Final = {"client_ca": "ca", "pkcs12": "cert", "subject": "cert", "key_password": "key"}


class Source(msgspec.Struct, frozen=True):
    """What ``option`` (``cert``) of the object at ``where`` (``tls``) gives: a path or a PEM text."""

    where: str
    option: str
    text: str

    def __str__(self) -> str:
        return "the PEM text" if is_inline(self.text) else self.text

    @property
    def is_folder(self) -> bool:
        """Whether it is the path of a folder."""
        return not is_inline(self.text) and "\0" not in self.text and Path(self.text).is_dir()

    def invalid(self, why: str) -> TLSConfigError:
        """Return the error that says what is wrong with it."""
        return option_error(self.where, self.option, f"{self} {why}")

    def read(self) -> str | bytes:
        """Return PEM text, or the bytes of a file that is none."""
        if is_inline(self.text):
            return self.text
        try:
            data = read_file(Path(self.text))
        except UnresolvedError as error:
            kind = f"{_KINDS.get(self.option, self.option)}_not_found"
            raise TLSConfigError(kind, f"{self.where}.{self.option}: {error}") from None
        return data.decode("utf-8", "replace") if b"-----BEGIN " in data else data

    def certificates(self) -> str:
        """Return its certificates as PEM and nothing else (OpenSSL stumbles over comments)."""
        data = self.read()
        if isinstance(data, bytes):
            data = ssl.DER_cert_to_PEM_cert(data) if data[:1] == b"\x30" else ""
        pem = "\n".join(_blocks(data, _CERTIFICATES))
        if not pem or not pem.isascii():
            raise self.invalid("holds no PEM or DER certificate")
        try:  # a certificate that is damaged inside its block shows only when it is loaded
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except ssl.SSLError as error:
            raise self.invalid(f"cannot be used: {tls_error_text(error)}") from None
        return pem

    def keys(self) -> list[str]:
        """Return its private keys as PEM; a DER key under each label that it could have."""
        data = self.read()
        if isinstance(data, bytes):
            if data[:1] == b"\x30":
                return [_pem(label, data) for label in _KEY_LABELS]
            data = ""
        found = [match[0] for match in _BLOCK.finditer(data) if match[1].endswith("PRIVATE KEY")]
        if not found:
            step = f"; give it as {self.where}.key" if self.option == "cert" else ""
            raise option_error(self.where, "key", f"{self} holds no private key{step}")
        return found

    def revocation_lists(self) -> list[str]:
        """Return its revocation lists as PEM."""
        data = self.read()
        if isinstance(data, bytes):
            data = _pem("X509 CRL", data) if data[:1] == b"\x30" else ""
        lists = _blocks(data, ("X509 CRL",))
        if not lists:
            raise self.invalid("holds no revocation list")
        return lists


def option_error(where: str, option: str, text: str) -> TLSConfigError:
    """Return the error of an option that cannot be used, with the fault of that option."""
    return TLSConfigError(f"{_KINDS.get(option, option)}_invalid", f"{where}.{option}: {text}")


def is_inline(text: str) -> bool:
    """Tell whether an option holds PEM itself and not the path of a file."""
    return "-----BEGIN " in text


def _blocks(text: str, labels: tuple[str, ...]) -> list[str]:
    return [match[0] for match in _BLOCK.finditer(text) if match[1] in labels]


def _pem(label: str, data: bytes) -> str:
    body = ssl.DER_cert_to_PEM_cert(data)
    return body.replace(" CERTIFICATE-----", f" {label}-----")


@contextmanager
def private_file(text: str) -> Iterator[str]:
    """Make a file that only this user can read, for the calls of ssl that take nothing but a path."""
    import tempfile  # seldom needed, and slow to import

    descriptor, path = tempfile.mkstemp(suffix=".pem")  # created with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        yield path
    finally:
        Path(path).unlink()
