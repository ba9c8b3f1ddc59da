"""Carries bytes between the stores and head office. The promises, and what is not promised, are in `contract`."""
