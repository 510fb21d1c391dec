"""skytrigger: choose, measure and run small networks and fast clustering where the data is born."""

__version__ = "0.1.0"
