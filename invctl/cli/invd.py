"""The store's daemon as another process sees it: whether it runs, and what it says of itself."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl.language import _
from invctl.settings import LOCK_FILE, PID_FILE, RUN, STATUS_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from invctl.cli.times import StoreTime


STALLED_AFTER_S = 15.0
"""A daemon that has not renewed for so long what it says of itself stands still: it does so every second."""


class Invd(NamedTuple):
    """A daemon that runs. What it has not said of itself yet is None."""

    pid: int
    since: str | None = None
    broker: str | None = None
    connection: str | None = None
    """`connecting` until the first attempt has ended, then `connected` or `lost`."""
    why: str | None = None
    """Why it is lost, and what to do about it in `hint`."""
    hint: str | None = None
    breaker: dict[str, Any] | None = None
    """Whether it still tries to send: its state, since when, how often it failed, and when it tries next."""
    metrics: str | None = None
    """Where it can be watched."""
    stores: list[str] | None = None
    """All that it serves."""
    namespace: str | None = None
    """Under which name the chain uses the broker: head office has to use the same."""
    metrics_trouble: str | None = None
    """Why it cannot be watched, although it is to be."""
    silent_s: float | None = None
    """Since it last said anything of itself. It does not say that: its file tells."""

    @property
    def stands_still(self) -> bool:
        """Whether it was stopped, or hangs, as far as can be told: then nothing that it said may be believed."""
        return self.silent_s is not None and self.silent_s >= STALLED_AFTER_S


def running(home: Path) -> Invd | None:
    """Return the daemon that serves a store's folder, or None where none does."""
    pid = read_pid(home)
    # Without a pid no lock is tried: one that is starting must not find its lock taken by whoever asks.
    if pid is None or not _is_held(home / RUN / LOCK_FILE):
        return None
    path = home / RUN / STATUS_FILE
    said = _read_status(path)
    if said.get("pid") != pid:
        return Invd(pid)
    return Invd(pid, *(said.get(name) or None for name in Invd._fields[1:-1]))._replace(silent_s=_silent_s(path))


def read_pid(home: Path) -> int | None:
    """Return the process id that a daemon left in a store's folder; the daemon may be gone."""
    try:
        pid = int((home / RUN / PID_FILE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
    # Others name groups of processes, or all of them.
    return pid if pid > 1 else None


def _is_held(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read_status(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _silent_s(path: Path) -> float | None:
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return None


def describe(invd: Invd | None, when: StoreTime) -> str:
    """Return what there is to say of a daemon, or that there is none, in one line."""
    if invd is None:
        return _("not running: `invctl daemon start` starts it")
    if invd.silent_s is not None and invd.stands_still:
        since_us = when.now_us - round(invd.silent_s * 1_000_000)
        return _(
            "stands still since {time}, pid {pid}: {todo}",
            time=when.exact(since_us),
            pid=invd.pid,
            todo=how_to_end(invd),
        )
    since = _(" since {time}", time=when.exact(invd.since)) if invd.since else ""
    told = _("running{since}, pid {pid}", since=since, pid=invd.pid)
    if invd.stores and len(invd.stores) > 1:
        told += _(", serves {n:,} stores", n=len(invd.stores))
    if invd.connection == "lost":
        return _("{told}; {why} (see `invctl daemon logs`){pause}", told=told, why=invd.why, pause=_pause(invd, when))
    reach = {"connecting": _(", connecting to "), "connected": _(", connected to ")}.get(invd.connection or "", "")
    chain = _(", namespace {namespace}", namespace=invd.namespace) if invd.namespace else ""
    return f"{told}{reach}{invd.broker}{chain}{_pause(invd, when)}" if reach else told


def how_to_end(invd: Invd) -> str:
    """Say what to do about a daemon that stands still, and so does not heed what it is told."""
    return _("`kill -9 {pid}` ends it, and loses nothing; then `invctl daemon start`", pid=invd.pid)


def _pause(invd: Invd, when: StoreTime) -> str:
    """Say that it does not try to send at the moment, where it does not."""
    breaker = invd.breaker or {}
    if breaker.get("state") not in ("open", "half_open"):
        return ""
    tries = _(
        "; sends nothing since {time} after {failures:,} failures in a row",
        time=when.exact(breaker["since"]),
        failures=breaker["failures"],
    )
    return (
        _("{tries}, tries again at {time}", tries=tries, time=when.exact(breaker["next_attempt_at"]))
        if breaker["next_attempt_at"]
        else tries
    )


def as_record(invd: Invd | None) -> dict[str, Any]:
    """Return the same as a JSON value."""
    known = invd._asdict() if invd else dict.fromkeys(Invd._fields)
    silent_s = known.pop("silent_s")
    still_s = int(silent_s) if silent_s is not None and silent_s >= STALLED_AFTER_S else None
    return {"running": invd is not None, **known, "stands_still_s": still_s}
