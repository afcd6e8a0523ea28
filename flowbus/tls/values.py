"""The values that options can take: TLS versions, errors of certificates that can be let through."""

from __future__ import annotations

from typing import Literal

Version = Literal["1.2", "1.3"]
Kind = Literal[
    "expired", "not_yet_valid", "self_signed", "untrusted", "hostname_mismatch", "wrong_usage",
    "crl_unavailable",
]  # fmt: skip
