"""What a peer does against the protocol, or against a limit."""

from __future__ import annotations


class Violation(Exception):
    """The peer broke the protocol or a limit.

    ``code`` is the close code for it; ``why`` names its fault where the code does not say it.
    """

    def __init__(self, code: int, reason: str, why: str = "") -> None:
        self.code = code
        self.reason = reason
        self.why = why
        super().__init__(f"{code}: {reason}")
