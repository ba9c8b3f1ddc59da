"""The project's own commands: demo, test, seed, reset, replay."""
