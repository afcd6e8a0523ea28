"""Protocol-free node types for flowbus: make, show, route, shape, split and gather messages."""

from __future__ import annotations

from flowbus import hookimpl


@hookimpl
def flowbus_register() -> dict[str, dict[str, object]]:
    """Name what this plugin has; nothing else is imported until a flow uses it."""
    return {
        "nodes": {
            "inject": "flowbus_core_nodes.inject:inject",
            "debug": "flowbus_core_nodes.debug:debug",
            "json-decode": "flowbus_core_nodes.jsontext:json_decode",
            "json-encode": "flowbus_core_nodes.jsontext:json_encode",
            "switch": "flowbus_core_nodes.switch:switch",
            "filter": "flowbus_core_nodes.filter:filter_messages",
            "map": "flowbus_core_nodes.map:map_message",
            "split": "flowbus_core_nodes.split:split",
            "batch": "flowbus_core_nodes.batch:batch",
            "jwt-sign": "flowbus_core_nodes.tokens:jwt_sign",
            "jwt-verify": "flowbus_core_nodes.tokens:jwt_verify",
        },
        "connections": {},
        "faults": {"core": "flowbus_core_nodes.faults:FAULTS"},
        "commands": {},
    }
