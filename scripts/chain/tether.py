"""Runs a command that dies with the process that asked for it, also when that one is killed with -9.

    python -I -S tether.py signal PARENT COMMAND...
    python -I -S tether.py pipe FD COMMAND...

`signal` (Linux) asks the kernel for SIGKILL when the parent dies, prctl(2) PR_SET_PDEATHSIG, which
holds across exec, and becomes the command. "Parent" there is the thread that forked: `ProcessTable`
therefore starts children on the main thread only. `pipe` is for other systems: FD is the read end of
a pipe whose only write end the parent holds, so its end of file is the parent's end, and this process
stays beside the command to see it.

A file of its own that imports next to nothing, because it runs before each child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_CANNOT_RUN = 127


def main(how: str, number: str, *command: str) -> NoReturn:
    """Run the command, tethered as asked. Ends with its exit code, or by its signal."""
    if how == "signal":
        _die_with(int(number))
        _become(command)
    _run_beside(int(number), command)


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # It may have died before the call, and then no signal comes.
    if os.getppid() != parent:
        sys.exit(f"tether: the parent {parent} has ended")


def _become(command: tuple[str, ...]) -> NoReturn:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"tether: {command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(_CANNOT_RUN)


def _run_beside(parents_end: int, command: tuple[str, ...]) -> NoReturn:
    # A SIGTERM between the fork and the handler would end this process alone and leave the command.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child == 0:
        os.close(parents_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _become(command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_die_at_end_of, args=(parents_end,), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        if -code != signal.SIGKILL:  # whose action cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _die_at_end_of(parents_end: int) -> None:
    os.read(parents_end, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
