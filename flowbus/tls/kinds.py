"""The kinds of errors of a server's certificate that can be let through."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "expired", "not_yet_valid", "self_signed", "untrusted", "hostname_mismatch", "wrong_usage",
    "crl_unavailable",
]  # fmt: skip
