"""What the two daemons share: logging, health, metrics, jobs, signals."""
