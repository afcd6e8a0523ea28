"""``flowbus ads``: what a technician wants of a PLC on site, without a flow."""
