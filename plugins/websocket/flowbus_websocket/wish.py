"""What commands have asked a client for; it outlives the client's restarts, not those of the flow."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from flowbus import Secret
from flowbus_websocket.command import Close, Connect
from flowbus_websocket.settings import WebSocketClient


class Wish:
    """Whether the client is to be closed, and what is to stand in the place of its options."""

    def __init__(self) -> None:
        self.closed: Close | None = None
        self._asked = Connect()

    def connect(self, asked: Connect, config: WebSocketClient) -> bool:
        """Take in a command to connect; return whether anything changes by it.

        ValueError where what it asks for cannot be: then everything stays as it was.
        """
        merged = _merged(self._asked, asked)
        changes = self.closed is not None or merged != self._asked
        _apply(merged, config)
        self._asked = merged
        self.closed = None
        return changes

    def options(self, config: WebSocketClient) -> WebSocketClient:
        """Return the options of the flow file with what commands have changed."""
        return _apply(self._asked, config)


def _merged(before: Connect, asked: Connect) -> Connect:
    given = {name: getattr(asked, name) for name in Connect.__struct_fields__}
    given = {name: value for name, value in given.items() if value is not UNSET}
    return msgspec.structs.replace(before, **given)


def _apply(asked: Connect, config: WebSocketClient) -> WebSocketClient:
    changes: dict[str, object] = {}
    if isinstance(asked.url, str):
        changes["url"] = asked.url
    headers = dict(config.headers)
    if isinstance(asked.headers, dict):
        headers = {name: Secret(value) for name, value in asked.headers.items()}
    if isinstance(asked.token, str):
        headers = {n: value for n, value in headers.items() if n.lower() != "authorization"}
        headers["Authorization"] = Secret(f"Bearer {asked.token}")
    if headers != config.headers:
        changes["headers"] = headers
    if changes.get("headers") and any(name.lower() == "authorization" for name in headers):
        changes["bearer_jwt"] = None
    return type(config)(**{**msgspec.structs.asdict(config), **changes}) if changes else config
