"""A flowbus plugin to copy: one transform, one I/O node."""

from flowbus import hookimpl


@hookimpl
def flowbus_register() -> dict[str, dict[str, object]]:
    """Name the node types; their modules are imported when a flow first uses them."""
    return {
        "nodes": {
            "scale": "flowbus_example.scale:scale",
            "tcp-read": "flowbus_example.tcp_read:tcp_read",
        },
        "faults": {"example": "flowbus_example.tcp_read:FAULTS"},
    }
