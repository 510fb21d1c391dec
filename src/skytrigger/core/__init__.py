"""Errors, seeds, whole files, hashes, progress, and the contracts every layer shares."""
