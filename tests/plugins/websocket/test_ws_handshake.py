"""The opening handshake, both sides: what is right, every prefix of it, and what is wrong."""

from __future__ import annotations

import contextlib

import pytest
from flowbus_websocket.protocol.answer import Answering, BadRequest, accept, refuse
from flowbus_websocket.protocol.ask import Asking, HandshakeError, Opening
from flowbus_websocket.protocol.handshake import MAX_HEAD, accept_token, values
from hypothesis import example, given
from hypothesis import strategies as st

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, section 1.3
TOKEN = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OPENING = Opening("example.com:8080", "/chat?x=1", KEY, ("a", "b"), (("Origin", "http://o"),))

REQUEST = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: " + TOKEN.encode() + b"\r\nSec-WebSocket-Protocol: b\r\n\r\n"
)


def asking(opening: Opening = OPENING) -> Asking:
    asks = Asking(opening)
    asks.request()
    return asks


def test_the_example_of_the_rfc() -> None:
    assert accept_token(KEY) == TOKEN


def test_a_request_is_understood_by_our_own_server() -> None:
    request = Answering().receive(Asking(OPENING).request() + b"\x81\x00")
    assert request is not None
    assert (request.target, request.path, request.rest) == ("/chat?x=1", "/chat", b"\x81\x00")
    assert request.header("host") == "example.com:8080"
    assert request.header("origin") == "http://o"
    assert request.subprotocols == ["a", "b"]
    opened = asking().receive(accept(request, "b", [("X-Y", "z")]) + b"rest")
    assert opened is not None
    assert (opened.subprotocol, opened.rest) == ("b", b"rest")
    assert values(opened.headers, "x-y") == ["z"]


def test_an_own_header_replaces_the_default_one() -> None:
    data = Asking(OPENING._replace(headers=(("host", "other"),))).request()
    assert data.lower().count(b"host:") == 1
    assert b"host: other" in data


@pytest.mark.parametrize("value", ["secret\r\nX: y", "secret\0", " secret"])
def test_a_header_that_cannot_be_sent_is_not_shown(value: str) -> None:
    with pytest.raises(ValueError, match="the header X has control") as caught:
        Asking(OPENING._replace(headers=(("X", value),))).request()
    assert "secret" not in str(caught.value)


def test_every_prefix_of_a_request_and_of_a_response_waits() -> None:
    for length in range(1, len(REQUEST)):
        answering = Answering()
        assert answering.receive(REQUEST[:length]) is None
        request = answering.receive(REQUEST[length:])
        assert request is not None
        assert request.subprotocols == ["a", "b", "c"]
    for length in range(1, len(RESPONSE)):
        asks = asking()
        assert asks.receive(RESPONSE[:length]) is None
        assert asks.receive(RESPONSE[length:]) is not None


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"GET", b"POST", 405),
        (b"HTTP/1.1", b"HTTP/1.0", 400),
        (b"HTTP/1.1", b"SIP/2.0", 400),
        (b"Host: example.com:8080\r\n", b"", 400),
        (b"Upgrade: websocket\r\n", b"", 426),
        (b"keep-alive, Upgrade", b"keep-alive", 426),
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
        (KEY.encode(), b"c2hvcnQ=", 400),
        (KEY.encode(), b"!!!!", 400),
        (b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n", b"", 400),
        (b"GET /chat?x=1 HTTP/1.1", b"\x16\x03\x01\x02\x00", 400),
    ],
)
def test_a_bad_request_is_answered(old: bytes, new: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        Answering().receive(REQUEST.replace(old, new, 1))
    assert caught.value.status in (status, 414, 431)
    assert refuse(caught.value.status, caught.value.headers).startswith(b"HTTP/1.1 4")


def test_an_endless_request_is_given_up() -> None:
    answering = Answering()
    with pytest.raises(BadRequest):
        for _ in range(MAX_HEAD // 1000 + 1):
            assert answering.receive(b"GET /" + b"x" * 1000) is None


def test_bytes_beyond_ascii_in_headers_do_no_harm() -> None:
    request = Answering().receive(REQUEST.replace(b"Protocol: a, b", b"Protocol: \xff, \xc3\xa4"))
    assert request is not None
    assert request.subprotocols[0] == "\xff"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"HTTP/1.1 101", b"SSH-2.0 101", "response_parse_error"),
        (b"Upgrade: WebSocket", b"Upgrade: h2c", "response_invalid"),
        (b"Upgrade: WebSocket\r\n", b"", "response_invalid"),
        (b"Connection: upgrade", b"Connection: close", "response_invalid"),
        (b"Sec-WebSocket-Accept: " + TOKEN.encode() + b"\r\n", b"", "accept_missing"),
        (TOKEN.encode(), accept_token("other").encode(), "accept_invalid"),
        (TOKEN.encode(), b"\xff", "accept_invalid"),
        (b"Protocol: b", b"Protocol: c", "subprotocol_refused"),
        (b"Protocol: b", b"Protocol: \xe4", "subprotocol_refused"),
        (
            b"\r\n\r\n",
            b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            "extension_invalid",
        ),
    ],
)
def test_a_bad_response_says_what_is_wrong(old: bytes, new: bytes, why: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        asking().receive(RESPONSE.replace(old, new, 1))
    assert caught.value.why == why


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 500, 503])
def test_another_status_is_told(status: int) -> None:
    with pytest.raises(HandshakeError, match=str(status)) as caught:
        asking().receive(refuse(status, [("WWW-Authenticate", "Basic")], "no"))
    assert (caught.value.why, caught.value.status) == ("response_status", status)


def test_other_informational_responses_are_skipped() -> None:
    asks = asking()
    assert asks.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n" + RESPONSE) is not None


@given(st.binary(min_size=1, max_size=400))
@example(b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n")
@example(b"\r\n\r\n\r\n")
def test_garbage_is_refused_or_waited_on(data: bytes) -> None:
    try:
        assert Answering().receive(data) is None
    except BadRequest as error:
        refuse(error.status, error.headers, str(error))
    with contextlib.suppress(HandshakeError):
        assert asking().receive(data) is None


def test_a_response_with_control_characters_is_not_sent() -> None:
    request = Answering().receive(REQUEST)
    assert request is not None
    with pytest.raises(ValueError, match="cannot be sent"):
        accept(request, None, [("X", "a\r\nY: b")])
