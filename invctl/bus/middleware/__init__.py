"""Buses around a bus, one concern each: they keep its contract, so any bus will do, and any of them may be left out."""
