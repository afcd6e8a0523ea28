"""WebSocket for flowbus: a client that stays connected and a server for many clients."""

from __future__ import annotations

from flowbus import hookimpl


@hookimpl
def flowbus_register() -> dict[str, dict[str, object]]:
    """Name what this plugin has; nothing else is imported until a flow uses it."""
    return {
        "nodes": {
            "websocket-client": "flowbus_websocket.nodes:websocket_client",
            "websocket-server": "flowbus_websocket.server.node:websocket_server",
        },
        "connections": {},
        "faults": {"ws": "flowbus_websocket.faults:FAULTS"},
        "commands": {},
    }
