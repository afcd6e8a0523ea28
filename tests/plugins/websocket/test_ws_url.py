"""URLs of WebSockets."""

from __future__ import annotations

import pytest
from flowbus_websocket.url import Address, parse_url


@pytest.mark.parametrize(
    ("url", "address", "host_header"),
    [
        ("ws://h", Address(False, "h", 80, "/"), "h"),
        ("wss://h", Address(True, "h", 443, "/"), "h"),
        ("wss://h:80/a/b?c=d", Address(True, "h", 80, "/a/b?c=d"), "h:80"),
        ("ws://[::1]:9000/x", Address(False, "::1", 9000, "/x"), "[::1]:9000"),
        ("ws://10.0.0.1:80", Address(False, "10.0.0.1", 80, "/"), "10.0.0.1"),
        ("WS://Host/Ä b?q=ü", Address(False, "host", 80, "/%C3%84%20b?q=%C3%BC"), "host"),
        (
            "ws://bücher.example/",
            Address(False, "xn--bcher-kva.example", 80, "/"),
            "xn--bcher-kva.example",
        ),
        ("ws://h/a%20b", Address(False, "h", 80, "/a%20b"), "h"),
    ],
)
def test_where_a_url_leads(url: str, address: Address, host_header: str) -> None:
    assert parse_url(url) == address
    assert parse_url(url).host_header == host_header


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://h", "the scheme is 'http'"),
        ("h:80", "the scheme is 'h'"),
        ("", "the scheme is ''"),
        ("ws://", "names no host"),
        ("ws://h:99999", "is no URL"),
        ("ws://h:x", "is no URL"),
        ("ws://h:0", "port 0"),
        ("ws://[::1", "is no URL"),
        ("ws://h/#a", "no fragment"),
        ("ws://u:secret@h/", "Authorization"),
    ],
)
def test_what_is_wrong_with_a_url(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_the_shown_address_has_no_query() -> None:
    assert str(parse_url("wss://h:8443/a?token=secret")) == "wss://h:8443/a"
