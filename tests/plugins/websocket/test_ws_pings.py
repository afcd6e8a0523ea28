"""Which Pong answers which Ping, and what commands leave behind in a client's options."""

from __future__ import annotations

import pytest
from flowbus_websocket.command import Close, Connect
from flowbus_websocket.pings import Pings
from flowbus_websocket.settings import WebSocketClient
from flowbus_websocket.wish import Wish

from flowbus import Secret

CONFIG = WebSocketClient(url="ws://h/", headers={"authorization": Secret("a"), "X": Secret("b")})


def test_a_pong_answers_its_ping_and_those_before_it() -> None:
    pings = Pings()
    first, second, third = (pings.expect(name) for name in (b"1", b"2", b"3"))
    pings.pong(b"unknown")
    assert not first.is_set()
    pings.pong(b"2")
    assert (first.is_set(), second.is_set(), third.is_set()) == (True, True, False)
    pings.forget(third)
    pings.pong(b"3")
    assert not third.is_set()


def test_of_two_pings_alike_the_first_is_answered_first() -> None:
    pings = Pings()
    first, second = pings.expect(b""), pings.expect(b"")
    pings.pong(b"")
    assert (first.is_set(), second.is_set()) == (True, False)


def test_what_a_command_does_not_name_stays_as_it_was() -> None:
    wish = Wish()
    assert wish.options(CONFIG) is CONFIG
    assert not wish.connect(Connect(), CONFIG)
    assert wish.connect(Connect(url="ws://other/"), CONFIG)
    assert not wish.connect(Connect(url="ws://other/"), CONFIG)
    assert wish.connect(Connect(token="t"), CONFIG)
    options = wish.options(CONFIG)
    assert options.url == "ws://other/"
    assert options.request().headers == (("X", "b"), ("Authorization", "Bearer t"))
    assert "Bearer" not in repr(options)
    assert wish.connect(Connect(url=None, token=None), CONFIG)
    assert wish.options(CONFIG) == CONFIG


def test_a_closed_client_is_changed_by_any_connect() -> None:
    wish = Wish()
    wish.closed = Close()
    assert wish.connect(Connect(), CONFIG)
    assert wish.closed is None


def test_a_command_that_cannot_be_changes_nothing() -> None:
    wish = Wish()
    wish.closed = Close(code=3000)
    with pytest.raises(ValueError, match="scheme"):
        wish.connect(Connect(url="http://h", token="t"), CONFIG)
    assert wish.closed is not None
    assert wish.options(CONFIG) is CONFIG
