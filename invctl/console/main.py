"""The funnel through which all three command lines run: one place for errors, exit codes and closed pipes."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Any

from invctl.console.exits import ExitCode, OutputError
from invctl.language import _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typer._click import Command


def run(prog: str, build: Callable[[], Command], argv: Sequence[str] | None = None) -> int:
    """Run a command line: `argv`, by default the process's own. Returns the exit code.

    `build` makes the group, or the only command. What it imports is imported inside the funnel, so that Ctrl-C is
    quiet then, too.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    thresholds = gc.get_threshold()
    # Start-up allocates much and drops nothing: at the default of 700 the collector costs 4 % of a command's time.
    gc.set_threshold(50_000, *thresholds[1:])
    for stream in (sys.stdout, sys.stderr):
        # A locale without UTF-8 must cost a character, not the result of a command that has already committed.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _outcome(prog, build, words)
        _flush()
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.PIPE_CLOSED
    except OSError as error:
        code = ExitCode.UNEXPECTED
        with contextlib.suppress(OSError):
            from invctl.console.failures import Failure, show, wanted_format  # noqa: PLC0415 - costs, and is rare

            failure = Failure(code, "output_failed", _("cannot write the result: {strerror}", strerror=error.strerror))
            show(failure, wanted_format(words), sys.stderr)
    finally:
        _discard_unwritten()
        gc.set_threshold(*thresholds)
    return code


def _outcome(prog: str, build: Callable[[], Command], argv: list[str]) -> int:
    """Call the command, and tell what went wrong. Raises OSError only where our own output cannot be written."""
    # Loading Typer is most of a command's time, and Ctrl-C may come meanwhile.
    from typer import Exit  # noqa: PLC0415

    from invctl.console.style import wants_colour  # noqa: PLC0415

    try:
        context: dict[str, Any] = {"color": wants_colour(sys.stdout), "help_option_names": ["-h", "--help"]}
        # A copy: click takes out what it has read, and the form of an error is read from `argv`.
        with build().make_context(prog, list(argv), **context) as ctx:
            ctx.command.invoke(ctx)
    except Exit as request:
        return request.exit_code
    except Exception as error:  # the outermost edge: told once, and not as a traceback
        if isinstance(error, OutputError) or (isinstance(error, OSError) and _output_failed()):
            raise
        from invctl.console.failures import describe, show, wanted_format  # noqa: PLC0415 - costs, and is rare

        failure = describe(error, prog)
        show(failure, wanted_format(argv), sys.stderr)
        return failure.code
    return ExitCode.DONE


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Either is None where the process was started without it (`>&-`).
        if stream is not None:
            stream.flush()


def _output_failed() -> bool:
    """Tell an error in writing our output from any other: a socket or a file of the command's own may fail, too."""
    try:
        _flush()
    except OSError:
        return True
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # no stream, or one without a file descriptor
            poll.register(stream.fileno(), 0)
    return any(events & select.POLLERR for _fd, events in poll.poll(0))


def _discard_unwritten() -> None:
    """Keep the interpreter from complaining, as it exits, of output that cannot be written (docs: signal, SIGPIPE)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError):  # a stream without a file descriptor
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, stream.fileno())
                os.close(devnull)
