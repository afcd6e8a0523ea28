"""A simulated PLC without I/O: requests in, answers and due notifications out."""
