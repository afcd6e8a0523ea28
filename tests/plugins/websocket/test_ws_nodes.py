"""The options of the nodes, and what becomes of messages without any peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from flowbus_websocket.dial import dial, fault_of
from flowbus_websocket.faults import FAULTS
from flowbus_websocket.nodes import websocket_client
from flowbus_websocket.payload import as_content
from flowbus_websocket.server.accept import Accept, Refusal
from flowbus_websocket.server.node import websocket_server
from flowbus_websocket.server.posting import Shared
from flowbus_websocket.server.settings import WebSocketServer
from flowbus_websocket.settings import WebSocketClient, limits_of
from flowbus_websocket.url import parse_url

from flowbus import JWT, TLS, Fault, Lost, Rejected, Secret

URL = "ws://h/"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": "http://h"}, "url: the scheme"),
        ({"url": URL, "tls": TLS()}, "tls: has no use"),
        ({"url": URL, "require_subprotocol": True}, "require_subprotocol"),
        ({"url": URL, "subprotocols": ("a b",)}, "'a b' is not a token"),
        ({"url": URL, "headers": {"Upgrade": Secret("x")}}, "Upgrade belongs to the handshake"),
        ({"url": URL, "headers": {"sec-websocket-KEY": Secret("x")}}, "belongs to the handshake"),
        ({"url": URL, "headers": {"a:": Secret("x")}}, "no name of a header"),
        (
            {
                "url": URL,
                "headers": {"authorization": Secret("x")},
                "bearer_jwt": JWT(algorithm="HS256", secret=Secret("x" * 32)),
            },
            "bearer_jwt: headers has authorization already",
        ),
    ],
)
def test_options_of_the_client_that_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        WebSocketClient(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"port": 0, "path": "live"}, "does not begin with /"),
        ({"port": 0, "tls": TLS()}, "a server needs a cert"),
        ({"port": 0, "allow_clients": ("10.0.0.1/8",)}, 'allow_clients: "10.0.0.1/8" has bits set'),
        ({"port": 0, "block_clients": ("",)}, 'block_clients: "" is no address'),
        ({"port": 0, "host": "::1", "ipv6": "no"}, "host: ::1 is an address of IPv6"),
        ({"port": 0, "host": "127.0.0.1", "ipv6": "only"}, "host: 127.0.0.1 is an address of IPv4"),
        ({"port": 0, "path": "/a", "accept": Accept(paths=("/b",))}, "path: says the same"),
        ({"port": 0, "show_headers": ("cookie",)}, "show_headers: is for accept"),
    ],
)
def test_options_of_the_server_that_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        WebSocketServer(**options)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"paths": ("live",)}, "paths: 'live' does not begin with /"),
        ({"origins": ("panel.example",)}, "origins: 'panel.example' fits no origin"),
        ({"origins": ("https://panel.example/",)}, "origins: .* fits no origin, .* SCHEME://HOST"),
        ({"origins": ("https://",)}, "origins: 'https://' fits no origin"),
        ({"subprotocols": ("a b",)}, "subprotocols: 'a b' is not a token"),
        ({"require_subprotocol": True}, "require_subprotocol: needs subprotocols"),
        ({"require_headers": {"a:": Secret("x")}}, "require_headers: 'a:' is no name"),
        ({"refusals": {"path": Refusal()}}, "refusals: 'path' is no rule; there are hosts, paths"),
        ({"response_headers": {"Sec-WebSocket-Accept": "x"}}, "belongs to the handshake"),
        ({"response_headers": {"X": "a\r\nb"}}, "value of X is no text, or has control"),
    ],
)
def test_rules_that_are_refused(rules: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Accept(**rules)


def test_origins_that_browsers_send_and_patterns_of_them() -> None:
    origins = (
        "",
        "null",
        "file://",
        "*",
        "*.plant.example",
        "https://panel.example:8443",
        "chrome-extension://abc",
    )
    assert Accept(origins=origins).origins == origins


@pytest.mark.parametrize("status", [101, 200, 299, 600])
def test_a_refusal_refuses(status: int) -> None:
    with pytest.raises(ValueError, match="does not refuse"):
        Refusal(status=status)


def test_an_origin_header_outdoes_the_option() -> None:
    config = WebSocketClient(url=URL, origin="a", headers={"ORIGIN": Secret("hidden")})
    assert config.request().headers == (("ORIGIN", "hidden"),)
    assert "hidden" not in repr(config)


def test_without_keepalive_no_ping_is_due() -> None:
    assert limits_of(WebSocketClient(url=URL, keepalive=False)).keepalive_interval == 0


def test_what_the_nodes_declare() -> None:
    assert (websocket_client.duplex, websocket_client.listens) == (True, False)
    assert (websocket_server.duplex, websocket_server.listens) == (True, True)
    assert websocket_server.fixed_outlets == ("out", "connection", "request")


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        ("ä", "ä"),
        (b"\xff", b"\xff"),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (None, "null"),
        (True, "true"),
        ([1, "x"], '[1,"x"]'),
    ],
)
def test_payloads_become_text_or_bytes(payload: object, content: str | bytes) -> None:
    assert as_content(payload) == content


@pytest.mark.parametrize("payload", [object(), {"a": object()}, "\udfff", {1j: 2}])
def test_payloads_without_a_form_are_rejected(payload: object) -> None:
    with pytest.raises(Rejected) as caught:
        as_content(payload)
    assert caught.value.fault.code == "ws.bad_payload"


class _Delivery:
    def __init__(self) -> None:
        self.ended = ""

    def confirm(self) -> None:
        self.ended += "confirmed"

    def reject(self, reason: Fault, text: str) -> None:
        self.ended += reason.code


@pytest.mark.parametrize(
    ("ends", "ended"),
    [("cc", "confirmed"), ("cr", "confirmed"), ("rc", "confirmed"), ("rr", "ws.x"), ("c", "")],
)
def test_a_shared_message_ends_once(ends: str, ended: str) -> None:
    delivery = _Delivery()
    shared = Shared(delivery, 2)  # type: ignore[arg-type]
    for end in ends:
        if end == "c":
            shared.confirm()
        else:
            shared.reject(Fault("ws.x", "", "", ""), "")
    assert delivery.ended == ended


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([111], "ws.connection_refused"),
        ([110], "ws.connect_timed_out"),
        ([113], "ws.host_unreachable"),
        ([101], "ws.host_unreachable"),
        ([24], "ws.no_more_sockets"),
        ([97], "ws.socket_type_invalid"),
        ([110, 111], "ws.connection_refused"),
        ([13], "ws.connect_failed"),
    ],
)
def test_errors_of_the_system_have_their_fault(numbers: list[int], code: str) -> None:
    error = OSError("all attempts failed")
    error.__cause__ = ExceptionGroup("", [OSError(number, "why") for number in numbers])
    assert fault_of(error).code == code
    assert code in {fault.code for fault in FAULTS}


async def test_files_of_tls_that_are_missing_have_their_code(tmp_path: Path) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, trio.aclose_forcefully, [listener])
            address = parse_url(f"wss://127.0.0.1:{listener.socket.getsockname()[1]}")
            for option in ("ca", "cert"):
                with pytest.raises(Lost) as caught:
                    await dial(address, TLS(**{option: str(tmp_path / "none.pem")}), 5)
                assert caught.value.fault.code == f"ws.tls_{option}_not_found"
                assert "none.pem" in caught.value.text
            nursery.cancel_scope.cancel()
