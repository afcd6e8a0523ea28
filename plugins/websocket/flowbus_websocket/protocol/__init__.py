"""WebSocket without I/O: bytes in, messages and bytes out (RFC 6455)."""
