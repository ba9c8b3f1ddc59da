"""Real faults on real processes: what is done to them, what should come of it, and whether it came."""
