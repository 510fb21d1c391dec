"""Time, energy, conditions and statistics of any callable, and the records they are kept in."""
