"""A chain of stores on this machine: its processes, broker and folder."""
