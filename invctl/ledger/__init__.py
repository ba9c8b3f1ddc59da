"""The store's SQLite: one file that says what a store has, and how it came to that."""
