"""Training: recipe, loop, metrics."""
