"""A small MQTT 3.1.1 broker for demos, tests and a single cell; a plant has mosquitto or a cluster."""
