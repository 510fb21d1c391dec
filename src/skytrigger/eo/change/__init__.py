"""What changed between two maps of the same ground."""
