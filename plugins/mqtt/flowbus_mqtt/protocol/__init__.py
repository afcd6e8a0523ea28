"""MQTT 3.1.1 and 5.0 as bytes in, events out: no waiting, no socket, no clock."""
