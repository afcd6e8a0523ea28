"""Benchmarks of flowbus, side by side with Node-RED where that is installed."""
