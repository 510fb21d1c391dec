"""The networks of stacked 3x3 convolutions in float16, fused by hand for Hopper GPUs."""
