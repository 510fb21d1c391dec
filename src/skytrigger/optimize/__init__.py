"""The fastest engine above an accuracy floor."""
