"""What befalls a server and has no code in the sources; part of the registry of WebSocket."""

from __future__ import annotations

from typing import Final

# name: (name, cause, next step)
SERVER_FAULTS: Final[dict[str, tuple[str, str, str]]] = {
    "unknown_connection": ("unknown connection",
        "The client that the message is addressed to is not connected.",
        "Use headers.connection of a client that is; it ends when the client leaves."),
    "send_queue_full": ("client too slow",
        "A client takes its messages slower than they are sent, and its send queue is full.",
        "Send less, raise send_queue, or choose what happens by slow_client."),
    "send_timed_out": ("client takes nothing",
        "A client took nothing of what was being sent to it for send_timeout.",
        "Check the network and the client; raise send_timeout where the link stalls for longer."),
    "idle_timed_out": ("client idle",
        "No message went to or came from a client for idle_timeout; it was closed with 1001.",
        "Nothing to do if it connects again when it has something to say; else raise idle_timeout."),
    "bad_handshake": ("no WebSocket request",
        "A client connected and sent something that does not open a WebSocket.",
        "Find out who connects (the text has the address); a browser or port scanner is harmless."),
    "handshake_timed_out": ("handshake timed out",
        "A client connected and did not ask for a WebSocket within handshake_timeout.",
        "Nothing to do for single ones; many may be an attack or a load balancer's probe."),
    "too_many_handshakes": ("too many handshakes",
        "More clients were in the middle of connecting than max_connections; the oldest gave way.",
        "Find out who connects and asks for nothing; block_clients keeps an address out."),
    "too_many_connections": ("too many connections",
        "max_connections clients are connected; the next one was refused with 503.",
        "Raise max_connections, or find out who does not close connections."),
    "address_refused": ("address not allowed",
        "A client connected from an address that block_clients lists, or allow_clients does not.",
        "If it should be let in, add its address to allow_clients or take it from block_clients."),
    "wrong_path": ("wrong path",
        "A client asked for another path than those served; it was refused with 404.",
        "Correct the path in the client's URL, or path or accept.paths here."),
}  # fmt: skip
