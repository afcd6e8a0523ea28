"""The page for those who come from IPWorks: every error is there, every fault and option exists."""

from __future__ import annotations

import re

from flowbus_websocket.faults import FAULTS
from flowbus_websocket.server.orders import order_of
from flowbus_websocket.server.settings import WebSocketServer

from flowbus import TLS, Message
from flowbus.config import options
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "from-ipworks.md").read_text(encoding="utf-8")

# The trappable errors of the component, of its TCP server, of SSL, of the system and of its resolver.
ERRORS = {
    4202, 100, 101, 102, 104, 106, 107, 108, 112, 116, 126, 135, *range(270, 277), *range(280, 285),
    10004, 10009, 10013, 10014, 10022, 10024, *range(10035, 10072), *range(10091, 10094), *range(11001, 11005),
}  # fmt: skip


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_trappable_error_has_its_row_once() -> None:
    numbers = [int(n) for row in rows("Trappable errors") for n in re.findall(r"\d+", row[0])]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == ERRORS


def test_an_error_is_a_fault_or_cannot_occur() -> None:
    known = {fault.code for fault in FAULTS} | {"flowbus.bug"}
    for errors, _, here in rows("Trappable errors"):
        codes = re.findall(r"`((?:ws|flowbus)\.[\w.]+)`", here)
        assert set(codes) <= known, errors
        assert codes or here.startswith("cannot occur"), errors


def test_options_and_commands_that_are_named_exist() -> None:
    named = {option.name for option in options(WebSocketServer)}
    tls = {f"tls.{option.name}" for option in options(TLS)}
    here = " ".join(row[1] for row in rows("What is where"))
    for name in re.findall(r"`([a-z_]+\.[a-z_0-9]+|[a-z]+_[a-z_]+)`", here):
        known = named | tls | {"accept.client_certs", "accept_data", "ping_events", "bytes_out"}
        assert name in known or name.startswith("headers."), name
    for command in re.findall(r"commands? `([\w-]+)`(?: and `([\w-]+)`|, `([\w-]+)`)?", here):
        for name in (name for name in command if name and "_" not in name):
            order_of(Message(None, headers={"command": name}))
