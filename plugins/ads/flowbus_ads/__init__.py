"""ADS (Beckhoff TwinCAT) for flowbus: a connection, nodes and a simulated PLC."""

from __future__ import annotations

from flowbus import hookimpl


@hookimpl
def flowbus_register() -> dict[str, dict[str, object]]:
    """Name what this plugin has; nothing else is imported until a flow uses it."""
    return {
        "connections": {"ads": "flowbus_ads.connection:ads"},
        "nodes": {
            "ads-read": "flowbus_ads.nodes:ads_read",
            "ads-write": "flowbus_ads.nodes:ads_write",
            "ads-subscribe": "flowbus_ads.subscribe:ads_subscribe",
            "ads-rpc": "flowbus_ads.device:ads_rpc",
            "ads-state": "flowbus_ads.device:ads_state",
            "ads-io-tree": "flowbus_ads.ionodes:ads_io_tree",
            "ads-io-monitor": "flowbus_ads.ionodes:ads_io_monitor",
            "ads-simulator": "flowbus_ads.simulator:ads_simulator",
        },
        "faults": {"ads": "flowbus_ads.faults:FAULTS"},
        "commands": {"ads": "flowbus_ads.cli.commands:ads"},
    }
