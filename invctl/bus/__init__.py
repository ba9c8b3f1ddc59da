"""The event bus: its contract, the memory twin, Redis Pub/Sub."""
