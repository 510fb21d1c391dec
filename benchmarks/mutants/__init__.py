"""Mutation testing (docs/testing.md): what may be changed in a module, each change tried, what was found."""
