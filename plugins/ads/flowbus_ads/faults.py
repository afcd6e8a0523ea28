"""The fault registry of ADS: every return code, and what can go wrong with the connection itself."""

from __future__ import annotations

from typing import Final

from flowbus import Fault
from flowbus_ads.codes_device import CLIENT, DEVICE
from flowbus_ads.codes_system import GLOBAL, ROUTER, RTIME, WINSOCK, Row

HRESULT_BASE: Final = 0x9811_0000
"""Added to a return code it is the HRESULT that TwinCAT shows."""

_TEMPORARY: Final = frozenset((0x4, 0x6, 0x7, 0xD, 0x12, 0x1B, 0x502, 0x50D, 0x707, 0x708, 0x718))
"""Codes that pass by themselves: the message is tried again instead of being rejected."""


def code_text(number: int) -> str:
    """Return the registry code of a return code: ``ads.0x0745``."""
    return f"ads.0x{number:04X}"


def _return_code(row: Row) -> Fault:
    number, name, cause, next_step, *manual = row
    hresult = () if number in _WINSOCK_NUMBERS else (f"0x{HRESULT_BASE + number:08X}",)
    return Fault(
        code_text(number), name, cause, next_step, number, number in _TEMPORARY, (*manual, *hresult)
    )


_WINSOCK_NUMBERS: Final = frozenset(row[0] for row in WINSOCK)
_RETURN_CODES: Final = {
    row[0]: _return_code(row) for row in (*GLOBAL, *ROUTER, *DEVICE, *CLIENT, *RTIME, *WINSOCK)
}

HRESULTS: Final = tuple(
    Fault(f"ads.{name.lower()}", name, cause, next_step, number)
    for number, name, cause, next_step in (
        (0x0, "S_OK", "The call succeeded.", "Nothing is to be done."),
        (0x1, "S_FALSE", "The call succeeded with a negative or incomplete result.",
         "Check the result itself; this is no failure."),
        (0x203, "S_PENDING", "The call succeeded, its result is not there yet.",
         "Ask for the result later."),
        (0x256, "S_WATCHDOG_TIMEOUT", "The call succeeded, but a timeout occurred on the way.",
         "Check the load of the PLC if this is frequent."),
    )
)  # fmt: skip

CONNECTION_REFUSED = Fault(
    "ads.connection_refused", "connection refused", "Nothing listens on the PLC's ADS port.",
    "Start TwinCAT on the PLC and open TCP 48898 in its firewall; check `host` and `tcp_port`.",
)  # fmt: skip
CONNECTION_LOST = Fault(
    "ads.connection_lost", "connection lost", "The TCP connection to the PLC broke.",
    "Check the network and the PLC; flowbus connects again by itself.",
)  # fmt: skip
CLOSED_AT_ONCE = Fault(
    "ads.closed_at_once", "connection closed at once",
    "The PLC closed the TCP connection without an answer: it has no route to this host, or another "
    "client of this host took its place.",
    "Add a route on the PLC with this host's address and `source_net_id`; run one ADS client a host.",
)  # fmt: skip
CONNECT_TIMEOUT = Fault(
    "ads.connect_timeout", "no connection in time", "The PLC did not accept the connection in time.",
    "Check the address, the cable and any firewall on the way (TCP 48898).",
)  # fmt: skip
HOST_NOT_FOUND = Fault(
    "ads.host_not_found", "host not found", "The name of the PLC could not be resolved.",
    "Check `host` and the name server, or use the IP address.",
)  # fmt: skip
HOST_UNREACHABLE = Fault(
    "ads.host_unreachable", "host unreachable", "There is no network path to the PLC.",
    "Check the cable, the network settings of this host and the address of the PLC.",
)  # fmt: skip
CANNOT_CONNECT = Fault(
    "ads.cannot_connect", "cannot connect", "The connection to the PLC could not be made.",
    "Read the text beside this code; it is the operating system's reason.",
)  # fmt: skip
NO_DISCOVERY = Fault(
    "ads.no_discovery", "no answer by UDP", "The ADS router at this address does not answer questions by UDP.",
    "Check the address and any firewall (UDP 48899); give `net_id`, and add the route on the PLC itself.",
)  # fmt: skip
TIMEOUT = Fault(
    "ads.timeout", "no answer in time", "The PLC did not answer a request within `timeout`.",
    "Check the load of the PLC and the network; raise `timeout` if the PLC is merely slow.",
)  # fmt: skip
PLC_MUTE = Fault(
    "ads.mute", "PLC is silent", "The PLC holds the connection open but no longer answers.",
    "Check whether the PLC hangs or the network drops packets; flowbus connects again by itself.",
)  # fmt: skip
BAD_FRAME = Fault(
    "ads.bad_frame", "not ADS", "The far end sent bytes that are no AMS frame.",
    "Check that `host` and `tcp_port` are those of an ADS router (TCP 48898).",
)  # fmt: skip
BAD_ANSWER = Fault(
    "ads.bad_answer", "answer not understood", "An answer of the PLC does not have the form it must have.",
    "Report it with the text beside this code and the TwinCAT version.",
)  # fmt: skip
BAD_VALUE = Fault(
    "ads.bad_value", "value does not fit", "The value does not fit the type of the symbol; nothing was written.",
    "Correct the value, or put a map node before this one.",
)  # fmt: skip
PARTLY_WRITTEN = Fault(
    "ads.partly_written", "written in part", "The PLC refused some values of a message; the others are written.",
    "Correct what the text names; read the values back before writing again.",
)  # fmt: skip
NOT_VERIFIED = Fault(
    "ads.not_verified", "written, not verified", "The PLC has confirmed the write, but has another value right after it.",
    "Look for what else writes this symbol: the PLC program itself, or another client. It is not written again.",
)  # fmt: skip
NO_METHOD = Fault(
    "ads.no_method", "no such method", "The function block has no method of this name that may be called.",
    "Check the name, and that the method has the attribute 'TcRpcEnable' in the PLC program.",
)  # fmt: skip
UNSUPPORTED_TYPE = Fault(
    "ads.unsupported_type", "type not supported", "The symbol has a type that has no plain value.",
    "Name a member or an element of it, such as MAIN.stData.rValue.",
)  # fmt: skip
PLC_NOT_RUNNING = Fault(
    "ads.not_running", "PLC does not run", "The PLC answers, but its program is not in RUN.",
    "Start the PLC program; values do not change until then.",
)  # fmt: skip
SYMBOLS_MISSING = Fault(
    "ads.symbols_missing", "symbols missing", "Some symbols of this node do not exist in the PLC, or not now.",
    "Check the names in the text against the program that is downloaded; an online change may have removed them.",
)  # fmt: skip
SAMPLES_DROPPED = Fault(
    "ads.samples_dropped", "samples dropped", "The flow took notifications more slowly than the PLC sent them.",
    "Lengthen `cycle_time`, raise `buffer`, or speed up what follows this node.",
)  # fmt: skip
BAD_CLIENT = Fault(
    "ads.bad_client", "client sent garbage", "A client of the simulated PLC sent bytes that are no ADS.",
    "Check what connects to this address; the simulator closed the connection.",
)  # fmt: skip
ADDRESS_IN_USE = Fault(
    "ads.address_in_use", "address in use", "Another program listens on the simulator's address.",
    "Choose another `host` (127.0.0.2, 127.0.0.3 ...) or `port`, or stop the other program.",
)  # fmt: skip

CONNECTION_FAULTS: Final = (
    CONNECTION_REFUSED, CONNECTION_LOST, CLOSED_AT_ONCE, CONNECT_TIMEOUT, HOST_NOT_FOUND,
    HOST_UNREACHABLE, CANNOT_CONNECT, NO_DISCOVERY, TIMEOUT, PLC_MUTE, BAD_FRAME, BAD_ANSWER, BAD_VALUE,
    PARTLY_WRITTEN, NOT_VERIFIED, NO_METHOD, UNSUPPORTED_TYPE, PLC_NOT_RUNNING, SYMBOLS_MISSING, SAMPLES_DROPPED, BAD_CLIENT, ADDRESS_IN_USE,
)  # fmt: skip

FAULTS: Final = (*_RETURN_CODES.values(), *HRESULTS, *CONNECTION_FAULTS)


def fault_of(number: int) -> Fault:
    """Return the entry of a return code; an unknown one gets an entry that says so."""
    known = _RETURN_CODES.get(number)
    if known is not None:
        return known
    return Fault(
        code_text(number), f"ADS error 0x{number:X}", "The PLC answered with a code that is not in Beckhoff's table.",
        "Search the Beckhoff Information System for this number; it may be an error of the PLC program.",
        number,
    )  # fmt: skip
