"""The fault registry of WebSocket: close codes, and what befalls a connection before it is open.

``ws.<number>`` is a close code of RFC 6455 (section 7.4.1) or of the IANA registry. ``ws.<name>`` has
the name and number of the TF6770 status (ETcIotWebSocketStatus, manual section 5.2.1) as aliases
where there is one, so that ``flowbus codes WS_STATUS_SOCK_CONN_REFUSED`` finds it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from flowbus import TLS, Fault
from flowbus_websocket.protocol.codes import REASONS, reason_of
from flowbus_websocket.server.faults import SERVER_FAULTS

_PEER_LOG = "Look into the log of the peer at this time."
_AGAIN = "Nothing to do if it comes back by itself; flowbus connects again."
_OURS = "Report it with the text beside this code to the authors of flowbus."
_STATE = "Nothing to do: this is a state of the source's function block, shown here as state."
_SERVER = "Check url, and whether that server speaks WebSocket there; a proxy may have answered."

# number: (cause, next step); RFC 6455, section 7.4.1, and the IANA registry
_CLOSE_CODES: Final[dict[int, tuple[str, str]]] = {
    1000: ("The peer closed the connection because its work was done.",
           "If it should stay open, ask why the peer closes it; flowbus connects again."),
    1001: ("The peer goes away: a server shuts down, or a page is left.", _AGAIN),
    1002: ("One side sent something that the protocol does not allow.",
           "Read the reason beside this code; update the side that broke the protocol."),
    1003: ("The peer does not take this kind of data, text or binary.",
           "Send a string for text and bytes for binary, as the peer expects."),
    1004: ("A reserved code without a meaning.", _PEER_LOG),
    1005: ("The peer closed the connection and gave no code.", _PEER_LOG),
    1006: ("The connection broke off without a closing handshake.",
           "Check the network, and whether the peer or a proxy between crashed or timed out."),
    1007: ("Data does not fit its type: text that is not UTF-8, or compressed data that is broken.",
           "Send what is not UTF-8 text as binary."),
    1008: ("The peer refuses what it got by its own rules.",
           "Ask for the peer's rules: rights, rate, content. The reason beside this code may tell."),
    1009: ("A message, or a frame, was larger than the receiver takes.",
           "Send smaller messages, or raise the receiver's limit (max_receive_message here)."),
    1010: ("The client needs an extension that the server did not agree to.",
           "Enable the extension at the server, or do without it at the client."),
    1011: ("The server met an error of its own and could not go on.", _PEER_LOG),
    1012: ("The server restarts.", _AGAIN),
    1013: ("The server has too much to do now.", "Wait; if it lasts, relieve the server."),
    1014: ("A gateway got a bad answer from the server behind it.",
           "Check the server behind the gateway or proxy."),
    1015: ("The TLS handshake failed.", "Look at the certificates and TLS versions of both sides."),
}  # fmt: skip

# name: (number and name of the TF6770 status, name, cause, next step)
_STATUSES: Final[dict[str, tuple[int, str, str, str, str]]] = {
    "busy": (-1, "BUSY", "busy", "The function block of the source is at work.", _STATE),
    "success": (0, "SUCCESS", "success", "The function block of the source has succeeded.", _STATE),
    "out_of_memory": (1, "SOCK_NOMEM", "out of memory", "There was no memory for the connection.",
        "Free memory on this machine, or lower the limits of messages and queues."),
    "protocol_setup_failed": (2, "SOCK_ERR_CREATE_PROTOCOL", "protocol cannot be set up",
        "The system does not offer the network protocol asked for.",
        "Check that IPv4, or IPv6 where the address needs it, is enabled on this machine."),
    "connection_invalid": (3, "SOCK_CONN_INVALID", "connection not usable",
        "The connection was used in a state that does not allow it.", _OURS),
    "not_connected": (4, "SOCK_NO_CONN", "not connected",
        "There is no connection to send by.",
        "Look at the status of the node: it says why it has no connection."),
    "connection_refused": (5, "SOCK_CONN_REFUSED", "connection refused",
        "The host is there but nothing listens on the port.",
        "Start the server, and check the port in url; a firewall may refuse as well."),
    "host_not_found": (6, "SOCK_NOT_FOUND", "host not found",
        "The name of the host is unknown to name resolution.",
        "Check the name in url and this machine's DNS (getent hosts NAME)."),
    "connection_lost": (7, "SOCK_CONN_LOST", "connection lost",
        "The connection broke off.",
        "Check cable, network and peer; flowbus connects again by itself."),
    "not_supported": (10, "SOCK_NOT_SUPPORTED", "not supported",
        "The system does not support what was asked of the socket.",
        "Read the text beside this code; leave out the option that it names."),
    "authentication_refused": (11, "SOCK_ERR_AUTH", "authentication refused",
        "The server answered 401: it does not accept who we say we are, or wants to know.",
        "Give valid credentials in headers (Authorization), or renew the token."),
    "access_denied": (12, "SOCK_ERRACL_DENIED", "access denied",
        "The server answered 403: it does not allow this.",
        "Have the right granted at the server; check path, origin and address lists there."),
    "unknown_error": (13, "SOCK_ERR_UNKNOWN", "unknown error",
        "Something failed that has no code of its own.", _OURS),
    "os_error": (14, "SOCK_ERRNO", "error of the operating system",
        "The operating system reported an error that has no code of its own.",
        "Read the text beside this code: it is the system's own."),
    "resolver_error": (15, "SOCK_ERR_EAI", "name resolution failed",
        "The name of the host could not be looked up now.",
        "Check that this machine's DNS server can be reached."),
    "proxy_error": (16, "SOCK_ERR_PROXY", "proxy failed",
        "A proxy between did not make the connection.",
        "Check the proxy; flowbus itself dials directly."),
    "finalize_disconnect": (31, "FINALIZE_DISCONNECT", "disconnecting",
        "The source's function block finishes its disconnect.", _STATE),
    "bind_error": (32, "SOCK_ERR_BIND", "cannot listen",
        "The server could not take its address and port.",
        "Read the text beside this code; ports below 1024 need the right to bind them."),
    "address_in_use": (33, "SOCK_BIND_ADDR_INUSE", "address in use",
        "Something else listens on this address and port already.",
        "Choose another port, or stop the other program (ss -ltnp shows it)."),
    "bind_address_invalid": (34, "SOCK_BIND_ADDR_INVALID", "not an address of this machine",
        "The server is to listen on an address that this machine does not have.",
        "Set host to an address of this machine (ip addr), or 0.0.0.0 for all of them."),
    "socket_create_failed": (35, "SOCK_ERR_CREATE", "socket not created",
        "The system did not give a socket.",
        "Read the text beside this code; check the system's limits."),
    "socket_type_invalid": (36, "SOCK_ERR_CREATE_TYPE", "type of socket not offered",
        "The system does not offer the type of socket.",
        "Check that IPv4, or IPv6 where the address needs it, is enabled on this machine."),
    "connect_failed": (37, "SOCK_CONN_FAILED", "connecting failed",
        "No connection could be made.", "Read the text beside this code; check host, port and network."),
    "connect_timed_out": (38, "SOCK_CONN_TIMEDOUT", "connecting timed out",
        "The host did not answer within connect_timeout.",
        "Check that the host is on and no firewall drops the packets; or raise connect_timeout."),
    "host_unreachable": (39, "SOCK_CONN_HOSTUNREACH", "host unreachable",
        "There is no way to the host.", "Check cable, address, netmask and gateway of this machine."),
    "internal_error": (1000, "INTERNAL_ERROR", "internal error",
        "Something failed inside the WebSocket node.", _OURS),
    "request_internal_error": (1001, "CONNECT_REQ_INTERNAL_ERROR", "request not built",
        "The request for the WebSocket could not be put together.",
        "Check url and headers for characters that HTTP does not allow."),
    "request_send_error": (1002, "CONNECT_REQ_SEND_ERROR", "request not sent",
        "The connection broke while the request for the WebSocket was sent.", _SERVER),
    "response_parse_error": (1003, "CONNECT_RES_PARSE_ERROR", "answer not understood",
        "The server's answer is not HTTP.", _SERVER),
    "response_invalid": (1004, "CONNECT_RES_INVALID", "answer invalid",
        "The server's answer lacks a header that a WebSocket needs.", _SERVER),
    "response_status": (1005, "CONNECT_RES_INVALID_STATUS", "refused by the server",
        "The server answered with another status than 101.",
        "Read the status beside this code: 404 means the path, 5xx the server itself."),
    "accept_missing": (1006, "CONNECT_RES_ACCEPT_INVALID", "no accept header",
        "The server's answer does not say that it accepted this very request.", _SERVER),
    "accept_invalid": (1007, "CONNECT_RES_ACCEPT_INVALID_HASH", "accept header wrong",
        "The server's answer belongs to another request; a cache may have given it.", _SERVER),
    "extension_invalid": (1008, "CONNECT_RES_INVALID_EXTENSION", "extension not offered",
        "The server wants to use an extension that it was not offered.",
        "Update the server, or switch its extensions off."),
    "subprotocol_refused": (1009, "CONNECT_RES_REJECT", "no common subprotocol",
        "Client and server do not agree on a subprotocol.",
        "Compare subprotocols with what the server offers."),
    "response_timed_out": (1010, "CONNECT_RES_TIMEDOUT", "no answer to the request",
        "The server took the connection but did not answer within response_timeout.",
        "Check that the port is that of the WebSocket server; ws and wss are easily mixed up."),
    "keepalive_timed_out": (1011, "KEEP_ALIVE_TIMEDOUT", "keep-alive timed out",
        "The peer did not answer a ping within keepalive_timeout.",
        "Check network and peer; raise keepalive_timeout where the link is slow."),
    "no_memory": (1012, "NOMEMORY", "out of memory", "There was no memory for a message.",
        "Lower max_receive_message, or give the machine more memory."),
    "message_too_big": (1013, "INVALID_MSG_SIZE", "message too big",
        "A message is larger than the limit.",
        "Send smaller messages, or raise max_receive_message (max_receive_frame)."),
    "protocol_error": (1014, "PROTOCOL_ERROR", "protocol error",
        "The peer sent what the protocol does not allow.",
        "Update the peer; the text beside this code says what it sent."),
    "receive_queue_full": (1015, "RCV_QUEUE_FULL", "receive queue full",
        "Messages came faster than the flow takes them.",
        'Make the flow behind faster, or let the wire wait ("when_full": "wait").'),
    "decompress_error": (1016, "DECOMPRESS_ERROR", "decompression failed",
        "Compressed data of the peer is broken or too large.",
        "Switch compression off at one side; update the peer."),
}  # fmt: skip

# name: (name, cause, next step) of what the sources have no code for
_OWN: Final[dict[str, tuple[str, str, str]]] = {
    "no_more_sockets": ("no more sockets",
        "The system's limit of open files and sockets is reached.",
        "Raise the limit (ulimit -n, LimitNOFILE of the service), or lower max_connections."),
    "closed": ("closed by command",
        "A command has closed the client, and it stays so: what is sent to it is rejected.",
        'Send it a message with headers.command "connect", or restart the flow.'),
    "bad_command": ("command not understood",
        "headers.command names no command of the node, or an argument of it is wrong.",
        "Read the text beside this code; the plugin's README lists the commands."),
    "ping_unanswered": ("ping not answered",
        "The peer did not answer the ping of a command within its deadline.",
        "Check network and peer; give the command a longer deadline where the link is slow."),
    "out_of_order": ("fragments out of order",
        "A message, or a fragment, came between the fragments of another one that is being sent.",
        "End the message in fragments with headers.final true before the next one, by its own wire."),
    "bad_payload": ("payload cannot be sent",
        "The payload is neither text nor bytes and has no form in JSON.",
        "Put a map before the node that makes text, bytes or JSON of it."),
}  # fmt: skip

_TLS_STATUSES: Final = {
    "not_tls": (8, "SOCK_ERR_TLS"),
    "ca_not_found": (17, "TLS_CA_NOTFOUND"),
    "cert_not_found": (18, "TLS_CERT_NOTFOUND"),
    "key_not_found": (19, "TLS_KEY_NOTFOUND"),
    "ca_invalid": (20, "TLS_CA_INVALID"),
    "cert_invalid": (21, "TLS_CERT_INVALID"),
    "key_invalid": (22, "TLS_KEY_INVALID"),
    "verify_fail": (23, "TLS_VERIFY_FAIL"),
    "setup": (24, "TLS_SETUP"),
    "handshake_fail": (25, "TLS_HANDSHAKE_FAIL"),
    "cipher_invalid": (26, "TLS_CIPHER_INVALID"),
    "version_invalid": (27, "TLS_VERSION_INVALID"),
    "psk_invalid": (28, "TLS_PSK_INVALID"),
    "crl_not_found": (29, "TLS_CRL_NOTFOUND"),
    "crl_invalid": (30, "TLS_CRL_INVALID"),
    "cert_expired": (40, "TLS_CERT_EXPIRED"),
    "cn_mismatch": (41, "TLS_CN_MISMATCH"),
}


def _close_fault(code: int, cause: str, step: str) -> Fault:
    return Fault(f"ws.{code}", REASONS[code], cause, step, number=code)


def _status_fault(name: str) -> Fault:
    number, source, title, cause, step = _STATUSES[name]
    return Fault(f"ws.{name}", title, cause, step, number, aliases=(f"WS_STATUS_{source}",))


def _tls_fault(fault: Fault) -> Fault:
    number, source = _TLS_STATUSES.get(fault.code.removeprefix("ws.tls_"), (None, ""))
    if number is None:
        return fault
    return msgspec.structs.replace(fault, number=number, aliases=(f"WS_STATUS_{source}",))


_BY_CODE: Final = {code: _close_fault(code, *texts) for code, texts in _CLOSE_CODES.items()}
_BY_NAME: Final = (
    {name: _status_fault(name) for name in _STATUSES}
    | {name: Fault(f"ws.{name}", *texts) for name, texts in {**_OWN, **SERVER_FAULTS}.items()}
    | {fault.code.removeprefix("ws."): _tls_fault(fault) for fault in TLS.faults("ws")}
)

#: Every entry, for the registry.
FAULTS: Final = (*_BY_CODE.values(), *_BY_NAME.values())


def named(name: str) -> Fault:
    """Return the fault ``ws.<name>``."""
    return _BY_NAME[name]


def closed_with(code: int) -> Fault:
    """Return the fault ``ws.<code>``; one is made up for a code that nobody has registered."""
    return _BY_CODE.get(code) or Fault(
        f"ws.{code}", reason_of(code), f"The peer closed the connection with its own code {code}.",
        "Look up the code in the documentation of the peer.", number=code,
    )  # fmt: skip
