"""A daemon's life: until a signal says stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from typing import TYPE_CHECKING

from invctl.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType
    from typing import Any

    from structlog.typing import FilteringBoundLogger

    Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CANCELLED = 1
_CTRL_C = 128 + signal.SIGINT


def run_until_signal(
    main: Main, *, log: FilteringBoundLogger, on_stop: Callable[[], None] = lambda: None, limit_s: float = 2.0
) -> int:
    """Run `main(stop)` until it returns; SIGTERM and SIGINT call `on_stop` and set `stop`. Returns the exit code.

    That is 0, or 130 after SIGINT, or 1 where `main` did not heed `stop` within three quarters of `limit_s` and was
    cancelled. `on_stop` is for what cancelling does not end: a wait in a thread. A second signal ends the process at
    once, and so does the kernel when `limit_s` is over: also where the event loop hangs. Raises what `main` raises; of
    a group, the one exception that tells what was wrong, if any does.
    """
    _allow_open_files()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with seldom_collected():
            return asyncio.run(_supervise(main, log, on_stop, limit_s))
    except ExceptionGroup as group:
        error = _telling(group)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    raise error


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the garbage collector look at what comes from now on, and seldom.

    Nothing here makes cycles to speak of: what a frame or a transaction needed goes with its last reference. By
    Python's own thresholds the values of one batch are looked through a hundred times: a seventh of an apply.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _allow_open_files() -> None:
    """Raise the limit of open files as far as it goes: it is low for programs that call `select`, which we do not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "unlimited" and means less.
    with contextlib.suppress(OSError, ValueError):
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _supervise(main: Main, log: FilteringBoundLogger, on_stop: Callable[[], None], limit_s: float) -> int:
    stop = asyncio.Event()
    received = _stop_on_signal(stop, log, on_stop, limit_s)
    work = asyncio.create_task(main(stop))
    signalled = asyncio.create_task(stop.wait())
    await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if not work.done():
        await asyncio.wait({work}, timeout=limit_s * 0.75)
    if not work.done():
        log.error("process.stop_overdue", limit_s=limit_s)
        work.cancel()
        await asyncio.wait({work})
    if work.cancelled():
        return _CANCELLED
    work.result()
    return _CTRL_C if signal.SIGINT in received else 0


def _stop_on_signal(
    stop: asyncio.Event, log: FilteringBoundLogger, on_stop: Callable[[], None], limit_s: float
) -> list[signal.Signals]:
    """Let the first signal set `stop`. Returns a list that will hold that signal."""
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def begin_to_stop() -> None:
        log.info("process.stopping", signal=received[0].name)
        stop.set()
        on_stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        # From here on the kernel decides alone: it needs no event loop that still turns.
        for each in (*_SIGNALS, signal.SIGALRM):
            signal.signal(each, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        loop.call_soon_threadsafe(begin_to_stop)

    # Not loop.add_signal_handler: its callbacks wait until the loop turns.
    for number in _SIGNALS:
        signal.signal(number, handle)
    return received


def _telling(group: ExceptionGroup) -> Exception:
    """Choose what to report of tasks that failed together: the one cause, or one of ours if all are."""
    leaves: list[Exception] = []
    pending: list[Exception] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, ExceptionGroup):
            pending += error.exceptions
        else:
            leaves.append(error)
    ours = all(isinstance(error, InventoryError) for error in leaves)
    return leaves[0] if ours or len(leaves) == 1 else group
