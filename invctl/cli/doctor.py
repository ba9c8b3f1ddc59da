"""`invctl doctor`."""

from typing import Annotated

from typer import Context, Option

from invctl.cli.checkup import OK, PROBLEM, WARNING, Finding, examine
from invctl.cli.command import home
from invctl.cli.words import named
from invctl.console.command import output
from invctl.console.options import typed
from invctl.console.output import Column
from invctl.console.style import Part
from invctl.language import _, _n, english

_STYLES = {OK: "green", WARNING: "bold yellow", PROBLEM: "bold red"}
_COLUMNS = [Column(key) for key in ("check", "state", "what", "todo")]


def doctor(
    ctx: Context,
    bundle: Annotated[
        str | None,
        Option("--bundle", metavar="FILE.tar.gz", help="Also pack what support needs: no customers, no passwords."),
    ] = None,
) -> None:
    """Look whether all is well with this store on this machine, and say what mends what is not.

    It looks at the ledger, the disk, the clock, the modes of files, the settings, and what the daemon last said; it
    opens no connection. Exits 0 where there is no problem, else as the gravest says: 8 for a ledger that is damaged,
    7 for a broker that is not reached.

    For example:

        invctl doctor
        invctl doctor --bundle support.tar.gz
    """
    folder = home(ctx)
    findings = list(examine(folder))
    out = output(ctx)
    records = [{key.key: english(getattr(finding, key.key)) or None for key in _COLUMNS} for finding in findings]
    if out.fmt == "table" and not out.quiet:
        out.result({}, message=_message(findings))
    else:
        out.rows(_COLUMNS, records)
    if bundle is not None:
        from invctl.cli.bundle import pack  # noqa: PLC0415 - costs, and is rare

        path = pack(folder, bundle, records, home_typed=typed(ctx, "home"))
        out.talk(_("packed in {path}: look into it before you send it", path=path))
    problems = [finding for finding in findings if finding.state == PROBLEM]
    if problems:
        gravest = problems[0]
        checks = dict.fromkeys(finding.check for finding in problems)
        raise gravest.error(
            _n(
                "{n:,} problem: {names}",
                "{n:,} problems: {names}",
                len(problems),
                names=named([_(check) for check in checks]),
            ),
            hint=gravest.todo,
            problems=[*checks],
        )


def _message(findings: list[Finding]) -> list[Part]:
    width = max(len(_(finding.check)) for finding in findings)
    told: list[Part] = []
    for finding in findings:
        told += ["\n" if told else "", f"{_(finding.check):{width}}  ", (_(finding.state), _STYLES[finding.state])]
        told.append(f": {finding.what}")
        if finding.todo:
            told.append(f"\n{'':{width}}  {finding.todo}")
    return told
