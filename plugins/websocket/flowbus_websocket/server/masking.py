"""Headers of a request as they may be shown: what lets somebody in is masked."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from flowbus_websocket.protocol.handshake import Headers

MASK: Final = "***"

_SECRET: Final = re.compile(
    r"auth|cookie|token|secret|passw|api-?key|session|jwt|credential|signature", re.IGNORECASE
)


def masked(headers: Headers, shown: Collection[str] = ()) -> dict[str, str]:
    """Return headers by their name in lower case, repeated ones joined, secrets masked.

    ``shown`` are names, in lower case, that are shown though they look like secrets.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name not in shown and _SECRET.search(name):
            found[name] = MASK
        elif name in found:
            found[name] = f"{found[name]}, {value}"
        else:
            found[name] = value
    return found
