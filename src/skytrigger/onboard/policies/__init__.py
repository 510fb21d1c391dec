"""Which tiles are kept and which are sent first. A policy is one small class; see `base.Policy`."""
