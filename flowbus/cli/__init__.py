"""The flowbus command."""
