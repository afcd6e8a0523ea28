"""MQTT for flowbus: a connection to a broker, nodes that publish and subscribe, and a small broker."""

from __future__ import annotations

from flowbus import hookimpl


@hookimpl
def flowbus_register() -> dict[str, dict[str, object]]:
    """Name what this plugin has; nothing is imported until a flow uses it."""
    return {
        "nodes": {
            "mqtt-out": "flowbus_mqtt.nodes:mqtt_out",
            "mqtt-in": "flowbus_mqtt.nodes:mqtt_in",
            "mqtt-broker": "flowbus_mqtt.broker.node:mqtt_broker",
        },
        "connections": {"mqtt": "flowbus_mqtt.connection:mqtt"},
        "faults": {"mqtt": "flowbus_mqtt.faults:FAULTS"},
        "commands": {},
    }
