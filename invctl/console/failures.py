"""What a person, or a program, is told when a command fails: what, why, and what to do next.

Imported only when one does.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from typer import Abort

# Typer 0.28 carries its own copy of click, of which it exports next to nothing.
from typer._click.exceptions import BadParameter, NoArgsIsHelpError, NoSuchOption, UsageError

from invctl.clock import SystemClock, format_time
from invctl.console.exits import ExitCode, exit_code
from invctl.console.helptext import did_you_mean
from invctl.console.output import FORMATS, Format, json_line
from invctl.console.style import Message, Part, paint, wants_colour
from invctl.errors import InvalidValueError, InventoryError, RefusedError
from invctl.language import _, marked, retold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OUTPUT = re.compile(r"-q*o(.*)", re.DOTALL)


class Failure(NamedTuple):
    """A failed command, told."""

    code: ExitCode
    error: str
    """Its name in JSON: that of the error's class, `usage` or `unexpected`."""
    message: str
    hint: str = ""
    details: Mapping[str, Any] = {}
    lead: str = ""
    """Stands between message and hint, for people: what the command takes, a traceback."""
    page: str = ""
    """Stands in place of all that, for people: the help."""


def describe(error: Exception, prog: str) -> Failure:
    """Say what went wrong. The traceback of an exception that nobody meant is kept in a file, which the hint names."""
    if isinstance(error, InventoryError):
        return Failure(exit_code(error), error.code, error.message, error.hint, error.details)
    if isinstance(error, UsageError):
        return _describe_usage(error)
    if isinstance(error, Abort):
        # Typer's questions turn Ctrl-C into this, as well as "no" and an input that has ended.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt
        return Failure(ExitCode.USAGE, "usage", _("A question was not answered with yes; nothing was done."))
    if isinstance(error, OSError) and error.filename is not None:
        # Of a file or folder it is the machine's own matter, and no traceback says more.
        why = _("{path} cannot be used: {strerror}", path=os.fsdecode(error.filename), strerror=error.strerror)
        return Failure(ExitCode.REFUSED, RefusedError.code, why, _("look at its mode, its owner and its disk"))
    message = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join(traceback.format_exception(error))
    if os.environ.get("INVCTL_DEBUG"):
        return Failure(ExitCode.UNEXPECTED, InventoryError.code, message, details={"traceback": trace}, lead=trace)
    return Failure(ExitCode.UNEXPECTED, InventoryError.code, message, _keep(trace, prog))


def show(failure: Failure, fmt: Format, stream: TextIO | None) -> None:
    """Write a failure to `stream`: one line of JSON under `-o json` and `-o ndjson`, else text."""
    if stream is None:
        return
    if fmt in ("json", "ndjson"):
        fixed = {"error": failure.error, "message": failure.message, "hint": failure.hint}
        # The report of an error must not fail on what the error carries.
        details = json.loads(json.dumps(failure.details, default=str))
        stream.write(json_line(fixed | {key: details[key] for key in details if key not in fixed}, stream) + "\n")
    else:
        # A page is painted already.
        stream.write((failure.page or paint(_as_text(failure), colour=wants_colour(stream))) + "\n")
    stream.flush()


def wanted_format(argv: Sequence[str]) -> Format:
    """Find the last `-o` on a command line that may be too wrong to be parsed."""
    found: Format = "table"
    tokens = iter(argv)
    for token in tokens:
        if token == "--":  # noqa: S105 - not a password
            break
        name, equals, value = token.partition("=")
        if name == "--output":
            text = value if equals else next(tokens, "")
        elif match := _OUTPUT.fullmatch(token):
            text = match[1] or next(tokens, "")
        else:
            continue
        found = next((fmt for fmt in FORMATS if fmt == text), found)
    return found


def _as_text(failure: Failure) -> Message:
    word = _("unexpected:") if failure.error == InventoryError.code else _("error:")
    parts: list[Part] = [(word, "bold red"), f" {failure.message}"]
    if failure.lead:
        parts.append(f"\n{failure.lead.rstrip()}")
    if failure.hint:
        parts += ["\n", (_("hint:"), "bold"), f" {failure.hint}"]
    return parts


def _describe_usage(error: UsageError) -> Failure:
    hint, usage = "", ""
    if error.ctx is not None:
        path = error.ctx.command_path
        hint = _("see '{command} --help'", command=path)
        usage = " ".join([_("usage:"), path, *error.ctx.command.collect_usage_pieces(error.ctx)])
    message = _usage_message(error)
    if isinstance(error, NoArgsIsHelpError):
        return Failure(ExitCode.USAGE, "usage", _("A command is missing."), hint, page=_help_for_stderr(error))
    if isinstance(error, NoSuchOption) and error.possibilities:
        message += did_you_mean(sorted(error.possibilities))
    if isinstance(error, BadParameter) and isinstance(error.__cause__, InvalidValueError):
        # The parameter is known; what its value should look like says more than the command's usage.
        return Failure(ExitCode.USAGE, "usage", message, error.__cause__.hint or hint)
    return Failure(ExitCode.USAGE, "usage", message, hint, lead=usage)


def _help_for_stderr(error: NoArgsIsHelpError) -> str:
    """Lay out the help anew: it was laid out for stdout, which may be coloured where stderr is not."""
    assert error.ctx is not None
    error.ctx.color = wants_colour(sys.stderr)
    return error.ctx.get_help()


def _keep(trace: str, prog: str) -> str:
    """Write a traceback where it outlives the terminal: one file a program, so that it cannot fill a disk."""
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    path = Path(state) / prog / "last-error.txt"
    when = format_time(SystemClock().now_us())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{when} {' '.join(map(repr, sys.argv))}\nPython {sys.version}\n{trace}", encoding="utf-8")
    except OSError:
        return _("set INVCTL_DEBUG=1 to see the traceback")
    return _("the traceback is in {path}; INVCTL_DEBUG=1 shows it here", path=path)


_OF_CLICK = (
    marked("Missing argument {name}"),
    marked("Missing option {name}"),
    marked("Invalid value for {name}: {why}"),
    marked("Got unexpected extra argument(s) ({name})"),
    marked("Option {name} requires an argument."),
    marked("Option {name} does not take a value."),
    marked("No such option: {name}"),
    marked("{value} is not one of {names}."),
)
"""What click says in English, of which it makes no secret and no catalogue."""


def _usage_message(error: UsageError) -> str:
    """Return what click found wrong, in the language spoken where it is one of its usual complaints."""
    said = error.message if isinstance(error, NoSuchOption) else error.format_message()
    return retold(said, *_OF_CLICK)
