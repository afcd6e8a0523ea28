"""One client of a server, as the flow knows it."""

from __future__ import annotations

from typing import Any

from flowbus import Message
from flowbus_websocket.channel import Channel
from flowbus_websocket.protocol.answer import Request


class Client:
    """One client that is connected, as the flow knows it."""

    def __init__(self, name: str, remote: str, request: Request, channel: Channel) -> None:
        self.name = name
        self.remote = remote
        self.request = request
        self.channel = channel
        # What every message of this client carries; shared by them all, hence never changed.
        self.headers = {"connection": name, "remote": remote}
        self.text_headers = {**self.headers, "content_type": "text"}
        self.binary_headers = {**self.headers, "content_type": "binary"}

    def event(self, event: str, **more: Any) -> Message:
        """Return a message for the outlet ``connection``."""
        payload = {
            "event": event,
            "connection": self.name,
            "remote": self.remote,
            "path": self.request.path,
            **more,
        }
        return Message(payload, headers=self.headers)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``flowbus status --json`` shows of it."""
        return {
            "connection": self.name,
            "remote": self.remote,
            "path": self.request.path,
            "messages_in": self.channel.messages_in,
            "bytes_in": self.channel.bytes_in,
            "bytes_out": self.channel.bytes_out,
            "queued": self.channel.posted,
        }
