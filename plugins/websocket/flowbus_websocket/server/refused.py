"""That a rule does not let a client in, as an exception."""

from __future__ import annotations

from collections.abc import Mapping

from flowbus import Fault


class Refused(Exception):
    """A rule does not let a client in: its name, the fault, why, and headers that say more.

    The client is told ``told`` instead of ``text`` where that is not for strangers.
    """

    def __init__(
        self,
        rule: str,
        fault: Fault,
        text: str,
        headers: Mapping[str, str] | None = None,
        *,
        told: str = "",
    ) -> None:
        self.rule = rule
        self.fault = fault
        self.headers = headers or {}
        self.told = told
        super().__init__(text)
