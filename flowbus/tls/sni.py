"""The certificate by the name that a client asks for: Server Name Indication, RFC 6066, section 3."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Final

_NAME: Final = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)


class NamedContexts:
    """Puts the context of the name in place of the first one; ``*.`` stands for one label."""

    def __init__(self, contexts: Mapping[str, ssl.SSLContext], *, has_default: bool) -> None:
        self._contexts = {name.lower(): context for name, context in contexts.items()}
        self._has_default = has_default

    def __call__(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        """Choose, as ``SSLContext.sni_callback``; return the alert where there is no certificate."""
        found = self._find((name or "").lower().rstrip("."))
        if found is not None:
            connection.context = found
        elif not self._has_default:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _find(self, name: str) -> ssl.SSLContext | None:
        _, _, rest = name.partition(".")
        return self._contexts.get(name) or self._contexts.get(f"*.{rest}")


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError for what is no name of a host, or comes twice."""
    seen: set[str] = set()
    for name in names:
        if not _NAME.fullmatch(name.lower()):
            raise ValueError(
                f'sni: "{name}" is no name of a host; *.example.com stands for one label before it'
            )
        if name.lower() in seen:
            raise ValueError(f'sni: "{name}" comes twice')
        seen.add(name.lower())
