"""`invd`: carries a store's events to head office."""
