"""What all tests share. Nothing here is timed: a busy machine must not fail a test that is right."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# What lands is decided by the same examples each time; by hand, each run tries others.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("unhurried")

# A shell that starts us in the background lets us ignore Ctrl-C, and so would each process that we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests read English, on whatever machine: here, and in every process that they start.
for name in ("INVCTL_LANGUAGE", "LANGUAGE", "LC_MESSAGES"):
    os.environ.pop(name, None)
os.environ["LC_ALL"] = "C.UTF-8"
