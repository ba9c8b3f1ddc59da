"""Distributed locks: their contract, the memory twin, Redis."""
