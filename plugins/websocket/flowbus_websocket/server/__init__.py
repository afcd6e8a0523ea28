"""The node websocket-server: many clients, from the handshake to the farewell."""
