"""Particle identity and energy from the layer clusters of a high-granularity calorimeter."""
