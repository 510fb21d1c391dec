"""One Session protocol over several inference engines."""
