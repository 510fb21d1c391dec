"""The one registry of applications: what can be trained, measured and shown, found by a card's network name."""
