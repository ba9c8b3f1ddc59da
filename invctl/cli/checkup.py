"""What may be wrong with a store on this machine, one look each. Nothing is mended, and no connection is opened."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from invctl import __version__
from invctl.cli.invd import how_to_end, running
from invctl.cli.link import NOT_TAKEN, explain
from invctl.cli.times import spoken
from invctl.errors import InvalidValueError, InventoryError, RefusedError, UnreachableError, WrongStateError
from invctl.language import _, _n, marked, retold
from invctl.ledger import disk, reads
from invctl.ledger.ledger import FILE, WRITERS, Ledger
from invctl.ledger.writing import FROZEN_BY, FrozenError
from invctl.settings import CONFIG_FILE, MEGABYTE, RUN, disk_reserve_bytes, load, oddities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OK, WARNING, PROBLEM = marked("ok"), marked("warning"), marked("problem")
# Clocks are set right by so much all the time.
AHEAD_S_MAX = 5
# Kinds of file systems whose disk is another machine's, as Linux names them in /proc/self/mountinfo.
NETWORKED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "gfs2", "ocfs2"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs", "davfs", "vboxsf", "virtiofs"}
)
MOUNTS = "/proc/self/mountinfo"


class Finding(NamedTuple):
    """What one look found. `todo` is what mends it, and `error` says which exit code a problem has."""

    check: str
    state: str
    what: str
    todo: str = ""
    error: type[InventoryError] = RefusedError


def examine(home: Path) -> Iterator[Finding]:
    """Look at the store in `home`, and yield what there is to say, sound or not; the gravest first."""
    yield from _ledger(home)
    # Of a folder that is not there nothing else can be said.
    if home.is_dir():
        yield _disk(home)
        yield _file_system(home)
        yield from _modes(home)
        yield from _settings(home)
        yield from _daemon(home)
    yield Finding(marked("versions"), OK, f"invctl {__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}")


def _ledger(home: Path) -> Iterator[Finding]:
    path = home / FILE
    try:
        with Ledger.open(home) as ledger:
            said = [text for (text,) in ledger.rows("PRAGMA quick_check(1)")]
            (version,), (sqlite,) = ledger.row("PRAGMA user_version"), ledger.row("SELECT sqlite_version()")
            last_us, frozen, link = reads.status(ledger).last_event_us, ledger.frozen(), reads.link(ledger)
            store, now_us = ledger.store.store, ledger.clock.now_us()
    except InventoryError as error:
        yield Finding(marked("ledger"), PROBLEM, error.message, error.hint, type(error))
        return
    if said != ["ok"]:
        yield Finding(
            marked("ledger"),
            PROBLEM,
            _("{path} is damaged: {said}", path=path, said=said[0]),
            _(disk.HINT),
            disk.DamagedError,
        )
    elif why := disk.noted(path):
        yield Finding(
            marked("ledger"),
            PROBLEM,
            _("nothing is written to {path}: {why}", path=path, why=why),
            _(disk.HINT),
            disk.DamagedError,
        )
    elif frozen:
        todo = _("`invctl daemon start`; it ends by itself once the daemon has what is missing")
        yield Finding(
            marked("ledger"),
            PROBLEM,
            _("nothing can be written: {why}", why=retold(frozen, *FROZEN_BY)),
            todo,
            FrozenError,
        )
    else:
        yield Finding(
            marked("ledger"),
            OK,
            _(
                "{store}: opens, format {version}, SQLite {sqlite} finds its pages in order",
                store=store,
                version=version,
                sqlite=sqlite,
            ),
        )
    ahead_s = (last_us - now_us) // 1_000_000
    if ahead_s > AHEAD_S_MAX:
        what = _(
            "the last event is {time} ahead of this machine's clock: until then no time passes here",
            time=spoken(ahead_s),
        )
        yield Finding(marked("clock"), PROBLEM, what, _("set the clock: `timedatectl set-ntp true`"), WrongStateError)
    else:
        yield Finding(marked("clock"), OK, _("no event is ahead of this machine's clock"))
    if link.state in NOT_TAKEN:
        what, todo = explain(link, store)
        yield Finding(marked("head office"), PROBLEM, what, todo, WrongStateError)


def _disk(home: Path) -> Finding:
    free = disk.free_bytes(home)
    try:
        reserve = disk_reserve_bytes(home, os.environ)
    except InvalidValueError as error:
        return Finding(marked("disk"), PROBLEM, error.message, error.hint, InvalidValueError)
    if free is None:
        return Finding(
            marked("disk"),
            WARNING,
            _("how much is free at {home} cannot be told", home=home),
            _("look at it: `df {home}`", home=home),
        )
    what = _(
        "{free:,} MB free, {reserve:,} MB are kept for ending what is reserved",
        free=free // MEGABYTE,
        reserve=reserve // MEGABYTE,
    )
    if disk.is_low(free, reserve):
        return Finding(marked("disk"), PROBLEM, what, _("make room on it: `df {home}`", home=home), disk.DiskLowError)
    return Finding(marked("disk"), OK, what)


def _file_system(home: Path) -> Finding:
    kind = file_system(home)
    if kind in NETWORKED:
        what = _("{home} is on a network file system ({kind}), where SQLite's WAL does not work", home=home, kind=kind)
        return Finding(
            marked("file system"), PROBLEM, what, _("move {home} to a local disk, and set INVCTL_HOME", home=home)
        )
    return Finding(
        marked("file system"),
        OK,
        _("local ({kind})", kind=kind) if kind else _("its kind cannot be told on this system"),
    )


def file_system(path: Path) -> str:
    """Return the kind of file system that a path is on, as Linux calls it; empty where that cannot be told."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - tests put another here
            mounts = [line.split() for line in stream]
    except OSError:
        return ""
    best, kind = "", ""
    target = os.path.realpath(path)
    for fields in mounts:
        # https://docs.kernel.org/filesystems/proc.html, 3.5: the fifth is the place; behind a hyphen is the kind.
        place = fields[4].replace("\\040", " ")
        inside = target == place or target.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best) and "-" in fields:
            best, kind = place, fields[fields.index("-") + 1]
    return kind


def _modes(home: Path) -> Iterator[Finding]:
    wanted = [home, *(home / name for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", WRITERS, RUN))]
    there = [path for path in wanted if path.exists()]
    closed = [path for path in there if not os.access(path, os.R_OK | os.W_OK)]
    config = home / CONFIG_FILE
    if config.exists() and not os.access(config, os.R_OK):
        closed.append(config)
    sound = True
    if closed:
        sound = False
        names = " ".join(str(path) for path in closed)
        yield Finding(
            marked("modes"),
            PROBLEM,
            _("this user cannot read and write {names}", names=names),
            f"`sudo chown $(id -u) {names}`",
        )
    open_ = [path for path in [*there, config] if path.exists() and path.stat().st_mode & stat.S_IWOTH]
    if open_:
        sound = False
        names = " ".join(str(path) for path in open_)
        yield Finding(
            marked("modes"),
            WARNING,
            _("every user of this machine may write {names}", names=names),
            f"`chmod o-w {names}`",
        )
    if config.exists() and config.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and _has_login(config):
        sound = False
        yield Finding(
            marked("modes"),
            WARNING,
            _("others may read the password in {config}", config=config),
            f"`chmod 600 {config}`",
        )
    if sound:
        yield Finding(
            marked("modes"),
            OK,
            _n(
                "{n:,} file or folder is this user's to read and write",
                "{n:,} files and folders are this user's to read and write",
                len(there),
            ),
        )


def _has_login(config: Path) -> bool:
    try:
        return any(b"@" in line.partition(b"#")[0] for line in config.read_bytes().splitlines())
    except OSError:
        return False


def _settings(home: Path) -> Iterator[Finding]:
    try:
        load(home, os.environ)
    except InvalidValueError as error:
        yield Finding(
            marked("settings"),
            PROBLEM,
            _("no daemon starts: {message}", message=error.message),
            error.hint,
            InvalidValueError,
        )
        return
    found = oddities(home)
    for what in found:
        yield Finding(
            marked("settings"), WARNING, what, _("mend {file}; `invctl config show --origin`", file=home / CONFIG_FILE)
        )
    if not found:
        yield Finding(marked("settings"), OK, _("{file} holds nothing that is not read", file=home / CONFIG_FILE))


def _daemon(home: Path) -> Iterator[Finding]:
    invd = running(home)
    if invd is None:
        what = _("not running, so head office hears nothing; selling goes on without it")
        yield Finding(marked("daemon"), WARNING, what, "`invctl daemon start`")
        return
    if invd.stands_still:
        what = _("stands still for {time}, pid {pid}", time=spoken(int(invd.silent_s or 0)), pid=invd.pid)
        yield Finding(marked("daemon"), PROBLEM, what, how_to_end(invd), UnreachableError)
        return
    yield Finding(marked("daemon"), OK, _("running, pid {pid}", pid=invd.pid))
    facts: dict[str, Any] = {"check": marked("broker"), "error": UnreachableError}
    if invd.connection == "lost":
        todo = invd.hint or _("`invctl daemon logs` says more")
        yield Finding(
            state=PROBLEM, what=invd.why or _("{broker} is not reached", broker=invd.broker), todo=todo, **facts
        )
    elif invd.connection == "connected":
        yield Finding(state=OK, what=_("{broker} is reached, as the daemon last saw it", broker=invd.broker), **facts)
    else:
        todo = _("wait a moment, then ask again")
        yield Finding(state=WARNING, what=_("the daemon does not know yet"), todo=todo, **facts)
