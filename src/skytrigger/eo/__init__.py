"""Earth observation: bands, EuroSAT, synthetic tiles, networks."""
