"""ADS without I/O: bytes in, frames and values out. No trio, no socket, no clock."""
