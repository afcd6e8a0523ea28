"""The second driver: Beckhoff's own library, by pyads, in a process of its own."""
