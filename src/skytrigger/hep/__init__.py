"""High-energy physics: clustering, doublets, particle identification."""
