"""The fault registry of WebSocket is complete."""

from __future__ import annotations

from flowbus_websocket.faults import FAULTS, closed_with, named
from flowbus_websocket.protocol.codes import REASONS

STATUSES = {-1, 0, *range(1, 9), *range(10, 42), *range(1000, 1017)}


def test_every_status_of_the_source_has_one_row() -> None:
    found = [f for f in FAULTS if any(alias.startswith("WS_STATUS_") for alias in f.aliases)]
    assert len(found) == len(STATUSES) == 59
    assert {fault.number for fault in found} == STATUSES


def test_every_close_code_has_a_row() -> None:
    rows = {fault.code: fault for fault in FAULTS}
    for code, reason in REASONS.items():
        assert (rows[f"ws.{code}"].number, rows[f"ws.{code}"].name) == (code, reason)


def test_every_row_says_what_to_do() -> None:
    assert len({fault.code for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.code.startswith("ws.")
        for text in (fault.cause, fault.next_step):
            assert text.endswith(".")
            assert "\n" not in text


def test_a_code_that_nobody_registered_is_made_up() -> None:
    assert closed_with(4321).code == "ws.4321"
    assert closed_with(1001) in FAULTS
    assert named("connection_refused").aliases == ("WS_STATUS_SOCK_CONN_REFUSED",)
