"""Leases on names, shared by several processes. What a lease proves, and what not, is in `contract`."""
