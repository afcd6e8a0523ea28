"""How a server treats its clients."""

from __future__ import annotations

import ssl
from typing import Literal

import msgspec

from flowbus import TLS
from flowbus_websocket.client import Limits

SlowClient = Literal["wait", "drop", "close"]


class Secured(msgspec.Struct, frozen=True):
    """TLS for the connections: the options, and the context that was made of them."""

    options: TLS
    context: ssl.SSLContext


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How the server treats its clients; sizes in bytes, times in seconds, 0 means no limit."""

    limits: Limits
    max_connections: int = 1000
    handshake_timeout: float = 10.0
    send_timeout: float = 0.0
    idle_timeout: float = 0.0
    send_queue: int = 1 << 20
    slow_client: SlowClient = "drop"
    line_mode: bool = False
    max_line: int = 1 << 16
    ping_events: bool = False
    tls: Secured | None = None
