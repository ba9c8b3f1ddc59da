"""The store's own database: one transaction an operation, events, read models."""
