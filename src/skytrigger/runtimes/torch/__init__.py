"""PyTorch: the model file's own graph, eager or compiled."""
