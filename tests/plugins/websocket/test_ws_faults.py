"""The fault registry of WebSocket is complete."""

from __future__ import annotations

import pytest
from flowbus_websocket.faults import FAULTS, closed_with, named
from flowbus_websocket.protocol.codes import REASONS

from flowbus import plugins

# ETcIotWebSocketStatus: section 5.2.1 of the manual of TF6770
STATUSES = {
    -1: "BUSY",
    0: "SUCCESS",
    1: "SOCK_NOMEM",
    2: "SOCK_ERR_CREATE_PROTOCOL",
    3: "SOCK_CONN_INVALID",
    4: "SOCK_NO_CONN",
    5: "SOCK_CONN_REFUSED",
    6: "SOCK_NOT_FOUND",
    7: "SOCK_CONN_LOST",
    8: "SOCK_ERR_TLS",
    10: "SOCK_NOT_SUPPORTED",
    11: "SOCK_ERR_AUTH",
    12: "SOCK_ERRACL_DENIED",
    13: "SOCK_ERR_UNKNOWN",
    14: "SOCK_ERRNO",
    15: "SOCK_ERR_EAI",
    16: "SOCK_ERR_PROXY",
    17: "TLS_CA_NOTFOUND",
    18: "TLS_CERT_NOTFOUND",
    19: "TLS_KEY_NOTFOUND",
    20: "TLS_CA_INVALID",
    21: "TLS_CERT_INVALID",
    22: "TLS_KEY_INVALID",
    23: "TLS_VERIFY_FAIL",
    24: "TLS_SETUP",
    25: "TLS_HANDSHAKE_FAIL",
    26: "TLS_CIPHER_INVALID",
    27: "TLS_VERSION_INVALID",
    28: "TLS_PSK_INVALID",
    29: "TLS_CRL_NOTFOUND",
    30: "TLS_CRL_INVALID",
    31: "FINALIZE_DISCONNECT",
    32: "SOCK_ERR_BIND",
    33: "SOCK_BIND_ADDR_INUSE",
    34: "SOCK_BIND_ADDR_INVALID",
    35: "SOCK_ERR_CREATE",
    36: "SOCK_ERR_CREATE_TYPE",
    37: "SOCK_CONN_FAILED",
    38: "SOCK_CONN_TIMEDOUT",
    39: "SOCK_CONN_HOSTUNREACH",
    40: "TLS_CERT_EXPIRED",
    41: "TLS_CN_MISMATCH",
    1000: "INTERNAL_ERROR",
    1001: "CONNECT_REQ_INTERNAL_ERROR",
    1002: "CONNECT_REQ_SEND_ERROR",
    1003: "CONNECT_RES_PARSE_ERROR",
    1004: "CONNECT_RES_INVALID",
    1005: "CONNECT_RES_INVALID_STATUS",
    1006: "CONNECT_RES_ACCEPT_INVALID",
    1007: "CONNECT_RES_ACCEPT_INVALID_HASH",
    1008: "CONNECT_RES_INVALID_EXTENSION",
    1009: "CONNECT_RES_REJECT",
    1010: "CONNECT_RES_TIMEDOUT",
    1011: "KEEP_ALIVE_TIMEDOUT",
    1012: "NOMEMORY",
    1013: "INVALID_MSG_SIZE",
    1014: "PROTOCOL_ERROR",
    1015: "RCV_QUEUE_FULL",
    1016: "DECOMPRESS_ERROR",
}
REGISTRY = plugins.installed().faults()


def test_every_status_of_the_source_has_one_row() -> None:
    found = [f for f in FAULTS if any(alias.startswith("WS_STATUS_") for alias in f.aliases)]
    assert len(found) == len(STATUSES) == 59


@pytest.mark.parametrize(("number", "name"), STATUSES.items())
def test_a_status_is_found_by_the_name_and_number_of_the_source(number: int, name: str) -> None:
    (row,) = REGISTRY.find(f"WS_STATUS_{name}")
    assert row.number == number
    assert row.code.startswith("ws.")
    assert row in REGISTRY.find(str(number))


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
