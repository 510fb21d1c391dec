"""Matrices of cells: spec, runner, store, comparisons."""
