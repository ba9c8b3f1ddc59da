"""What `scripts/bench` measures, each beside a bare reference in the same run."""
