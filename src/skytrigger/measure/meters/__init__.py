"""Power and energy: one protocol, one module per source."""
