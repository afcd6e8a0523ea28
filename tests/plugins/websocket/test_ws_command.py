"""What a message with ``headers.command`` is taken for."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from flowbus_websocket.command import Close, Connect, Ping, client_command, is_command, ping_content
from flowbus_websocket.payload import as_content
from flowbus_websocket.settings import WebSocketClient
from flowbus_websocket.wish import Wish
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from flowbus import Message, Rejected

CONFIG = WebSocketClient(url="ws://h/")

json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
arguments = st.dictionaries(
    st.sampled_from(["code", "reason", "url", "headers", "token", "payload", "deadline", "other"]),
    json_values,
)


@given(
    st.sampled_from(["close", "connect", "ping"]) | json_values, arguments, json_values | arguments
)
def test_any_message_is_a_good_command_or_rejected(
    name: Any, headers: dict[str, Any], payload: Any
) -> None:
    message = Message(payload, headers={**headers, "command": name})
    assert is_command(message)
    with contextlib.suppress(Rejected):
        command = client_command(message)
        if isinstance(command, Close):
            assert len(command.reason.encode()) <= 123
        elif isinstance(command, Ping):
            assert len(ping_content(command, as_content(command.payload))) <= 125
            assert command.deadline > 0
        else:
            with contextlib.suppress(ValueError):
                Wish().connect(command, CONFIG)


def test_a_header_outdoes_the_payload_and_other_headers_mean_nothing() -> None:
    headers = {"command": "close", "code": 3001, "content_type": "text", "connection": "x"}
    message = Message({"code": 3000, "reason": "why"}, headers=headers)
    assert client_command(message) == Close(code=3001, reason="why")


@pytest.mark.parametrize("payload", [None, "text", 5])
def test_a_payload_that_is_no_object_counts_for_a_ping_only(payload: object) -> None:
    assert client_command(Message(payload, headers={"command": "ping"})) == Ping(payload=payload)
    assert client_command(Message(payload, headers={"command": "connect"})) == Connect()
    assert client_command(Message(payload, headers={"command": "connect"})).url is UNSET  # type: ignore[union-attr]
