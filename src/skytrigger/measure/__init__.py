"""Time, energy, host facts, statistics and records of anything callable."""
