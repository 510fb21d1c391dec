"""Everything that times an engine."""
