"""The store, and the language that the three processes share."""

__version__ = "0.1.0"
