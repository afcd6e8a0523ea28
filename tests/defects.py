"""Servers whose certificate has one defect each, and clients that let some of them through."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from flowbus import TLS
from tests.certificates import (
    CA,
    CLIENT_USAGE,
    DAY,
    NOW,
    OTHER_CA,
    PEM,
    Identity,
    code,
    inline,
    shake,
)  # fmt: skip

KINDS = [
    "expired", "not_yet_valid", "self_signed", "untrusted", "hostname_mismatch", "wrong_usage",
    "crl_unavailable",
]  # fmt: skip
FAULTS = {
    "expired": "ws.tls_cert_expired",
    "not_yet_valid": "ws.tls_cert_not_yet_valid",
    "self_signed": "ws.tls_self_signed",
    "untrusted": "ws.tls_unknown_ca",
    "hostname_mismatch": "ws.tls_cn_mismatch",
    "wrong_usage": "ws.tls_wrong_usage",
    "crl_unavailable": "ws.tls_crl_unavailable",
    "revoked": "ws.tls_cert_revoked",
}
EXPIRED = {"end": NOW - DAY / 2}
EARLY = {"start": NOW + DAY / 2}
HERE = {"hosts": ["plc.test"]}
THERE = {"hosts": ["other.test"]}
MISUSED = {"usage": CLIENT_USAGE}

NO_LISTS_CA = Identity("an authority without revocation lists")
SELF = Identity("self", **HERE)
REVOKED = Identity("revoked", CA, **HERE)
DEFECTS = {
    "expired": Identity("s", CA, **HERE, **EXPIRED),
    "not_yet_valid": Identity("s", CA, **HERE, **EARLY),
    "self_signed": SELF,
    "untrusted": Identity("s", OTHER_CA, **HERE),
    "hostname_mismatch": Identity("s", CA, **THERE),
    "wrong_usage": Identity("s", CA, **HERE, **MISUSED),
    "crl_unavailable": Identity("s", NO_LISTS_CA, **HERE),
    "revoked": REVOKED,
}
LISTS = "".join(
    revocations.public_bytes(PEM).decode()
    for revocations in (CA.revocations(REVOKED), OTHER_CA.revocations(), SELF.revocations())
)
AUTHORITIES = (CA.cert() + NO_LISTS_CA.cert()).decode()


def ignoring(*kinds: Any, **more: Any) -> TLS:
    return TLS(**{"ca": AUTHORITIES, "ignore": kinds, "crl": LISTS} | more)


def showing(*chain: Identity) -> TLS:
    pem = "".join(identity.cert().decode() for identity in chain)
    return TLS(cert=pem, key=chain[0].private().decode())


def defective(defect: str) -> TLS:
    if defect == "untrusted":  # its revocation list can be checked only where its issuer is shown
        return showing(DEFECTS[defect], OTHER_CA)
    return inline(DEFECTS[defect])


async def outcome(client: TLS, server: TLS, host: str = "plc.test") -> str:
    """Empty where the connection stands, else the fault."""
    ends = await shake(client, server, host)
    if ends["client"] == "TLSv1.3":
        assert ends == {"client": "TLSv1.3", "server": "TLSv1.3", "got": b"y"}
        return ""
    return code(ends["client"])


def openssl(*arguments: str, folder: Path) -> None:
    """Run the command in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, timeout=30, capture_output=True)
