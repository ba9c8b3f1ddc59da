"""The store, and the language that the three processes share."""
