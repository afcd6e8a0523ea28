"""What can go wrong with TLS: the faults of every domain, and which one an error stands for."""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Iterator

from flowbus.errors import ConfigError
from flowbus.faults import Fault

# kind: (name, cause, next step)
_TABLE: dict[str, tuple[str, str, str]] = {
    "ca_not_found": (
        "CA file not found",
        "The file that tls.ca names does not exist or cannot be read.",
        "Put the CA certificate where tls.ca says, or mend the path; it starts at the flow file.",
    ),
    "ca_invalid": (
        "CA file invalid",
        "What tls.ca gives holds no certificate that can be read.",
        "Give a PEM or DER certificate of the authority that issued the peer's certificate.",
    ),
    "cert_not_found": (
        "certificate file not found",
        "The file that tls.cert or tls.pkcs12 names does not exist or cannot be read, or none is named.",
        "Put the certificate where the option says, or mend the path; it starts at the flow file.",
    ),
    "cert_invalid": (
        "certificate invalid",
        "What tls.cert or tls.pkcs12 gives holds no certificate that can be used.",
        "Give a PEM or DER certificate, the own one first and the chain behind it, or a PFX file.",
    ),
    "key_not_found": (
        "private key file not found",
        "The file that tls.key names does not exist or cannot be read.",
        "Put the key where tls.key says, readable for the user that runs flowbus.",
    ),
    "key_invalid": (
        "private key invalid",
        "What tls.key gives is no usable key, not that of tls.cert, or needs another password.",
        "Give the key that belongs to tls.cert, and tls.key_password where it is encrypted.",
    ),
    "crl_not_found": (
        "revocation list not found",
        "The file that tls.crl names does not exist or cannot be read.",
        "Put the revocation list where tls.crl says, or mend the path; it starts at the flow file.",
    ),
    "crl_invalid": (
        "revocation list invalid",
        "What tls.crl gives is no revocation list, or one out of date or wrongly signed.",
        "Fetch a current revocation list (PEM or DER) from the authority of the certificate.",
    ),
    "crl_unavailable": (
        "no revocation list for this issuer",
        "tls.crl has no list from the authority that issued the peer's certificate.",
        "Add the revocation list of that authority to tls.crl.",
    ),
    "cipher_invalid": (
        "cipher list invalid",
        "tls.ciphers names no cipher suite that this OpenSSL knows.",
        "Write the list in OpenSSL's format; openssl ciphers -v LIST shows what it stands for.",
    ),
    "group_invalid": (
        "group of the key exchange invalid",
        "tls.groups names a group that this Python or OpenSSL does not take.",
        "Give one group by OpenSSL's name, such as prime256v1; more than one needs Python 3.15.",
    ),
    "version_invalid": (
        "no common TLS version",
        "The two sides have no TLS version in common.",
        "Widen tls.min_version and tls.max_version, or enable TLS 1.2 or 1.3 at the peer.",
    ),
    "psk_invalid": (
        "pre-shared key invalid",
        "The pre-shared key or its identity is wrong or cannot be used here.",
        "Compare identity and key (hexadecimal) at both ends; pre-shared keys need Python 3.13.",
    ),
    "setup": (
        "TLS cannot be set up",
        "The TLS options cannot be used together on this system.",
        "Read the text beside this code; it has OpenSSL's own words.",
    ),
    "verify_fail": (
        "certificate not accepted",
        "The peer's certificate did not pass verification.",
        "Read the reason beside this code; check the certificate with openssl s_client -connect.",
    ),
    "cert_expired": (
        "certificate expired",
        "The certificate of the peer, or one in its chain, is past its last day.",
        "Renew the certificate at the peer; check the clock of this machine.",
    ),
    "cert_not_yet_valid": (
        "certificate not yet valid",
        "The first day of the peer's certificate lies in the future.",
        "Check the clock of this machine and of the one that issued the certificate.",
    ),
    "self_signed": (
        "self-signed certificate",
        "The peer shows a certificate that it signed itself, and that is not trusted here.",
        "Give that certificate as tls.ca if it is the right one, or have a proper one issued.",
    ),
    "unknown_ca": (
        "unknown issuer",
        "The peer's certificate comes from an authority that is not trusted here.",
        "Give the authority's certificate as tls.ca, and let the peer send its whole chain.",
    ),
    "cn_mismatch": (
        "name does not match",
        "The peer's certificate is not made out to the name or address that was dialled.",
        "Dial by a name in the certificate, or set tls.server_name to one.",
    ),
    "cert_revoked": (
        "certificate revoked",
        "The peer's certificate is on its authority's revocation list.",
        "Do not trust this peer; have a new certificate issued for it.",
    ),
    "wrong_usage": (
        "certificate for another purpose",
        "The peer's certificate may not be used for this side of a connection.",
        "Issue it with extended key usage serverAuth for a server, clientAuth for a client.",
    ),
    "cert_refused": (
        "own certificate refused",
        "The peer did not accept the certificate that was shown to it.",
        "Give tls.cert and tls.key that the peer trusts; the peer's log has the reason.",
    ),
    "cert_required": (
        "own certificate required",
        "The server demands a certificate of its clients, and none was shown to it.",
        "Give tls.cert and tls.key, issued by an authority that the server trusts.",
    ),
    "cert_missing": (
        "peer shows no certificate",
        "A client has to show a certificate here (tls.client_auth) and showed none.",
        'Give the client a certificate, or set tls.client_auth to "optional".',
    ),
    "name_unknown": (
        "no certificate for this name",
        "A client asked for a host name that no certificate of tls.sni is for.",
        "Add the name to tls.sni, or give tls.cert for all other names.",
    ),
    "not_tls": (
        "peer does not speak TLS",
        "The peer answered with something that is not TLS.",
        "Check the port, and whether the peer expects an unencrypted connection there.",
    ),
    "handshake_fail": (
        "TLS handshake failed",
        "The two sides could not agree on a secure connection.",
        "Read the reason beside this code; compare ciphers and versions; see the peer's log.",
    ),
    "not_verified": (
        "certificate not checked",
        "tls.verify is off: anybody can stand in for the peer.",
        "Give the peer's authority as tls.ca and leave tls.verify on.",
    ),
    "errors_ignored": (
        "errors of certificates let through",
        "tls.ignore lets connections through whose certificate has the errors named there.",
        "Have a proper certificate issued for the server and take the kinds out of tls.ignore.",
    ),
    "keys_logged": (
        "keys written to a file",
        "tls.keylog_file is set: who has that file can read everything that was sent.",
        "Take tls.keylog_file out of the flow and delete the file when the search is over.",
    ),
}  # fmt: skip

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_VERIFY_CODES = {
    2: "unknown_ca", 19: "unknown_ca", 20: "unknown_ca", 21: "unknown_ca", 27: "unknown_ca",
    3: "crl_unavailable", 33: "crl_unavailable", 44: "crl_unavailable",
    5: "crl_invalid", 8: "crl_invalid", 11: "crl_invalid", 12: "crl_invalid",
    15: "crl_invalid", 16: "crl_invalid",
    9: "cert_not_yet_valid", 13: "cert_not_yet_valid",
    10: "cert_expired", 14: "cert_expired",
    18: "self_signed",
    23: "cert_revoked",
    26: "wrong_usage",
    62: "cn_mismatch", 63: "cn_mismatch", 64: "cn_mismatch",
}  # fmt: skip

# Parts of OpenSSL's reason names; the first that fits decides.
_REASONS = (
    ("PROTOCOL_VERSION", "version_invalid"),
    ("UNSUPPORTED_PROTOCOL", "version_invalid"),
    ("NO_PROTOCOLS_AVAILABLE", "version_invalid"),
    ("WRONG_SSL_VERSION", "version_invalid"),
    ("INAPPROPRIATE_FALLBACK", "version_invalid"),
    ("WRONG_VERSION_NUMBER", "not_tls"),
    ("HTTP_REQUEST", "not_tls"),
    ("HTTPS_PROXY_REQUEST", "not_tls"),
    ("UNKNOWN_PROTOCOL", "not_tls"),
    ("PACKET_LENGTH_TOO_LONG", "not_tls"),
    ("RECORD_LAYER_FAILURE", "not_tls"),
    ("PSK_IDENTITY", "psk_invalid"),
    ("BINDER_DOES_NOT_VERIFY", "psk_invalid"),
    ("ALERT_CERTIFICATE_REQUIRED", "cert_required"),
    ("ALERT_UNKNOWN_CA", "cert_refused"),
    ("ALERT_BAD_CERTIFICATE", "cert_refused"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "cert_refused"),
    ("ALERT_CERTIFICATE", "cert_refused"),
    ("ALERT_NO_CERTIFICATE", "cert_refused"),
    ("ALERT_ACCESS_DENIED", "cert_refused"),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "cert_missing"),
    ("CALLBACK_FAILED", "name_unknown"),
    ("CERTIFICATE_VERIFY_FAILED", "verify_fail"),
    ("UNRECOGNIZED_NAME", "cn_mismatch"),
)


#: The option that a text is about; in ``tls.sni["name"].cert`` that is ``sni``, and the text says the rest.
_OPTION = re.compile(r'tls\.(?P<option>\w+)(?:: |(?=\["))')


class TLSConfigError(ConfigError):
    """TLS options that cannot be used; ``kind`` is the fault's name without ``<domain>.tls_``.

    A text that begins with an option (``tls.ciphers: ...``) lets ``flowbus check`` point at it.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        if place := _OPTION.match(text):
            self.option = place["option"]
            self.text = text[place.end() :]


class TLSRefusedError(ssl.SSLError):
    """A peer that is not accepted, by more than OpenSSL knows; ``kind`` as in TLSConfigError."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(ssl.SSLErrorNumber.SSL_ERROR_SSL, text)

    def __str__(self) -> str:
        return str(self.args[1])


@functools.cache
def _faults(domain: str) -> dict[str, Fault]:
    return {
        kind: Fault(f"{domain}.tls_{kind}", f"TLS: {name}", cause, step)
        for kind, (name, cause, step) in _TABLE.items()
    }


def tls_faults(domain: str) -> tuple[Fault, ...]:
    """Return every TLS fault of a domain (``ws``, ``mqtt``), for its entry in the registry."""
    return tuple(_faults(domain).values())


def tls_fault(domain: str, error: BaseException) -> Fault | None:
    """Return the fault that ``error`` stands for, or None where it has nothing to do with TLS.

    Looks through causes and exception groups: trio hides the ssl error of a failed handshake
    behind BrokenResourceError.
    """
    kinds = [kind for kind in map(kind_of, _leaves(error)) if kind]
    return _faults(domain)[kinds[0]] if kinds else None


def tls_error_text(error: BaseException) -> str:
    """Return the reason that OpenSSL gives, on one line; empty where ``error`` hides no TLS error."""
    for leaf in _leaves(error):
        if isinstance(leaf, TLSConfigError | TLSRefusedError):
            return str(leaf)
        if isinstance(leaf, ssl.SSLCertVerificationError) and hasattr(leaf, "verify_message"):
            return leaf.verify_message
        if isinstance(leaf, ssl.SSLError):
            return (getattr(leaf, "reason", None) or str(leaf)).replace("_", " ").lower()
    return ""


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        waiting += [error.__context__, error.__cause__]
        if isinstance(error, BaseExceptionGroup):
            waiting += reversed(error.exceptions)


def kind_of(error: BaseException) -> str:
    """Return the kind of one error, not of those behind it; empty where it is not about TLS."""
    if isinstance(error, TLSConfigError | TLSRefusedError):
        return error.kind
    if isinstance(error, ssl.SSLCertVerificationError):
        return kind_of_code(getattr(error, "verify_code", 0))
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or ""  # missing where Python code made the error
        return next((kind for part, kind in _REASONS if part in reason), "handshake_fail")
    return ""


def kind_of_code(verify_code: int) -> str:
    """Return the kind of an X509_V_ERR_* of OpenSSL."""
    return _VERIFY_CODES.get(verify_code, "verify_fail")
