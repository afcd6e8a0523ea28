"""A plugin that is installed for the tests of the command line only."""

from __future__ import annotations

from flowbus import hookimpl


@hookimpl
def flowbus_register() -> dict[str, dict[str, object]]:
    names = ("tick", "gate", "stuck", "busy", "wrong", "shout", "lost")
    return {
        "nodes": {
            **{f"stage-{name}": f"flowbus_stage_nodes:{name}" for name in names},
            "stage-missing": "flowbus_stage_needs:node",
        },
        "connections": {"stage-line": "flowbus_stage_nodes:line"},
        "faults": {"stage": "flowbus_stage_nodes:FAULTS"},
        "commands": {
            "stage-hello": "flowbus_stage_nodes:hello",
            "stage-broken": "flowbus_stage_nodes:no_such_command",
        },
    }
