"""invd: the daemon beside a store's ledger. It carries every event to central, and lets what is due expire."""
