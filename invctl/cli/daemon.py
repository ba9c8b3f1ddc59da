"""`invctl daemon start`, `stop` and `status`: the store's `invd`, in the background."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from typer import Context, Option

from invctl.cli.command import home, open_ledger
from invctl.cli.holding import store_time
from invctl.cli.invd import Invd, as_record, describe, read_pid, running
from invctl.cli.times import StoreTime, machine_zone
from invctl.cli.words import named
from invctl.clock import SystemClock
from invctl.console.command import output
from invctl.console.exits import ExitCode
from invctl.errors import BusyError, InvalidValueError, InventoryError, UnreachableError, WrongStateError
from invctl.language import _
from invctl.ledger.disk import DamagedError
from invctl.settings import LOG_FILE, RUN, oddities

START_S = 20.0
STOP_S = 10.0
# A broker that is there answers in milliseconds; whoever starts a daemon does not wait for one that is not.
FIRST_OUTCOME_S = 2.0
LOOK_EVERY_S = 0.02
LOG_BYTES_MAX = 16 * 1024 * 1024


def start(
    ctx: Context,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        Option("--log-level", help="The least that is logged, info unless said otherwise."),
    ] = None,
) -> None:
    """Start the daemon in the background, and wait until it runs. One that runs already stays as it is.

    For example:

        invctl daemon start
        invctl daemon start --log-level debug
    """
    folder, when = home(ctx), _time_of(ctx)
    log = folder / RUN / LOG_FILE
    before = running(folder)
    if before is None:
        log.parent.mkdir(exist_ok=True)
        _turn_over(log)
    begun_at = log.stat().st_size if log.exists() else 0
    options = ["--log-level", log_level] if log_level else []
    invd = _settled(folder, before or _spawn(folder, log, options), _has_tried)
    if invd is None:
        raise _ended(log, begun_at)
    _tell(ctx, invd, when, changed=before is None)
    if before is not None and log_level:
        output(ctx).talk([(_("note:"), "bold yellow"), _(" it goes on at the log level that it was started with")])


def stop(
    ctx: Context,
    every: Annotated[bool, Option("--all", help="Also one that serves other stores, for all of them.")] = False,
) -> None:
    """End the daemon, and wait until it has ended. Nothing is lost: what was not sent is sent when it runs again.

    One that serves other stores, too, is ended only with --all.

    For example:

        invctl daemon stop
    """
    folder, when = home(ctx), _time_of(ctx)
    invd = running(folder)
    if invd is not None:
        if not every:
            _refuse_shared(_settled(folder, invd, _has_named_its_stores) or invd)
        # It may have ended by itself.
        with suppress(ProcessLookupError):
            os.kill(invd.pid, signal.SIGTERM)
        if not _becomes(lambda: running(folder) is None, STOP_S):
            hint = _("it may be stuck: `kill -9 {pid}` ends it, and loses nothing", pid=invd.pid)
            raise BusyError(
                _("daemon {pid} did not end within {seconds:g} s", pid=invd.pid, seconds=STOP_S),
                hint=hint,
                pid=invd.pid,
            )
    _tell(ctx, None, when, changed=invd is not None)


def status(ctx: Context) -> None:
    """Tell whether the daemon runs, and whether it reaches the broker. Either is no error: the exit code is 0.

    For example:

        invctl daemon status
    """
    _tell(ctx, running(home(ctx)), _time_of(ctx))


def _refuse_shared(invd: Invd) -> None:
    """Raise WrongStateError where a daemon serves more than this store."""
    stores = invd.stores or []
    if len(stores) > 1:
        raise WrongStateError(
            _("daemon {pid} serves {n:,} stores: {names}", pid=invd.pid, n=len(stores), names=named(stores)),
            hint=_("`invctl daemon stop --all` ends it for all of them"),
            pid=invd.pid,
            stores=stores,
        )


def _has_tried(invd: Invd) -> bool:
    """Say whether a daemon knows if the broker is there."""
    return invd.connection in ("connected", "lost")


def _has_named_its_stores(invd: Invd) -> bool:
    return invd.stores is not None


def _settled(folder: Path, invd: Invd, condition: Callable[[Invd], bool]) -> Invd | None:
    """Return what a daemon says of itself once it meets a condition, or else after a short while; None if it ended."""
    now: Invd | None = invd

    def met() -> bool:
        nonlocal now
        now = running(folder)
        if now is not None and now.pid != invd.pid:
            now = None
        return now is None or condition(now)

    _becomes(met, FIRST_OUTCOME_S)
    return now


def _spawn(folder: Path, log: Path, options: list[str]) -> Invd:
    """Start a daemon that writes to `log`. Raises as `_ended` returns where it does not come to run."""
    # Its modules are found where ours were; what happens to lie in the folder is none of them (-P).
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with log.open("ab") as stream:
        begun_at = stream.tell()
        invd = subprocess.Popen(
            [sys.executable, "-P", "-m", "daemon", "run", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    serving: Invd | None = None

    def came_or_ended() -> bool:
        nonlocal serving
        ended = invd.poll() is not None
        # Its lock is not tried before it has taken it, which its pid shows.
        serving = running(folder) if ended or read_pid(folder) == invd.pid else None
        # A pid alone says that it holds the folder; what it says of itself, that it serves the store.
        return ended or (serving is not None and serving.since is not None)

    in_time = _becomes(came_or_ended, START_S)
    if in_time and serving is not None:
        # Its own, or that of another `start` at the same moment: either serves the store.
        return serving
    if not in_time:
        invd.kill()
        invd.wait()
        raise _not_running(_("the daemon did not come to run in time"))
    raise _ended(log, begun_at, invd.returncode)


def _ended(log: Path, begun_at: int, code: int | None = None) -> InventoryError:
    """Return what to raise of a daemon that ended at once: what is wrong with a setting is nobody's else's fault."""
    why, hint = _last_words(log, begun_at)
    message = _("the daemon ended at once: {why}", why=why)
    return InvalidValueError(message, hint=hint) if code == ExitCode.USAGE else _not_running(message)


def _not_running(message: str) -> UnreachableError:
    return UnreachableError(message, hint=_("`invctl daemon logs` shows what it wrote"))


def _turn_over(log: Path) -> None:
    """Begin a new log where the old one has grown large; one old one is kept."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))


def _last_words(log: Path, begun_at: int) -> tuple[str, str]:
    """Return the error that a daemon ended with, or else its last line, and the hint that came with it."""
    with log.open("rb") as stream:
        stream.seek(begun_at)
        lines = [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith(("error: ", "unexpected: "))]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    return [*errors, *lines[-1:], _("it wrote nothing")][0], [*hints, _("`invctl daemon logs` shows what it wrote")][0]


def _becomes(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait until a condition holds. Returns False where it does not in time."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _time_of(ctx: Context) -> StoreTime:
    """Return what writes the store's times. Raises NotFoundError where there is no store."""
    try:
        with open_ledger(ctx) as ledger:
            return store_time(ledger)
    except DamagedError:
        # Its daemon is to be ended all the same.
        return StoreTime(machine_zone() or "UTC", SystemClock().now_us())


def _tell(ctx: Context, invd: Invd | None, when: StoreTime, *, changed: bool | None = None) -> None:
    record = as_record(invd) | ({} if changed is None else {"changed": changed})
    if invd is None:
        message = {None: describe(invd, when), True: _("the daemon has ended"), False: _("the daemon was not running")}[
            changed
        ]
    else:
        message = describe(invd, when)
        if changed is False:
            message = _("already {running}", running=message)
        if invd.stores and len(invd.stores) > 1:
            message += _("\nstores: {stores}", stores=named(invd.stores))
        if invd.metrics:
            message += _("\nmetrics: {metrics}/metrics", metrics=invd.metrics)
        elif invd.metrics_trouble:
            message += _("\nmetrics: none, {why}", why=invd.metrics_trouble)
    output(ctx).result(record, message=message, ident=str(invd.pid) if invd else None)
    if output(ctx).fmt != "table":
        return
    if invd is not None and invd.hint and not invd.stands_still:
        output(ctx).talk([(_("hint:"), "bold"), f" {invd.hint}"])
    if changed is None or invd is not None:
        for warning in oddities(home(ctx)):
            output(ctx).talk([(_("warning:"), "bold yellow"), f" {warning}"])
