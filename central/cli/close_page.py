"""The close of a day as a page to print: one file of HTML that needs nothing else."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from central.cli.close import moment, verdict, why_not
from invctl.clock import format_time

if TYPE_CHECKING:
    from central.closing import Close, StoreClose

_STYLE = """
body { font: 11pt/1.4 system-ui, sans-serif; color: #111; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
.verdict { font-size: 1.2rem; font-weight: 600; margin: .5rem 0 1.5rem; }
.yes { color: #14691f; } .no { color: #a31515; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #bbb; }
thead th { border-bottom: 2px solid #111; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td small { color: #444; display: block; } td:first-child small, code { white-space: nowrap; }
code { font: 7.5pt/1.3 ui-monospace, monospace; }
tr { break-inside: avoid; }
.signed { display: flex; gap: 3rem; margin-top: 4rem; } .signed span { flex: 1; border-top: 1px solid #111; }
@media print { body { font-size: 9pt; margin: 0; max-width: none; padding: 0; } .signed { break-inside: avoid; } }
@page { size: A4 landscape; margin: 15mm; }
"""
_NUMBERS = ("events", "confirmed", "sold", "received", "adjusted")


def write(path: str, found: Close, database: str) -> None:
    """Write the page. Raises OSError where the file cannot be written."""
    Path(path).write_text(page(found, database), encoding="utf-8")


def page(found: Close, database: str) -> str:
    """Return the page."""
    day, style = found.day.isoformat(), "yes" if found.complete else "no"
    word = "Complete" if found.complete else "Not complete"
    heads = "".join(f'<th class="n">{name.capitalize()}</th>' for name in ("last event", *_NUMBERS))
    waiting = ""
    if found.waiting:
        waiting = f"<p>Not part of it, as they wait to be admitted: {escape(', '.join(found.waiting))}.</p>\n"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Close of {day}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Close of {day}</h1>
<p class="verdict {style}">{word}: {escape(verdict(found))}</p>
<table>
<thead><tr><th>Store</th><th>Complete</th>{heads}<th>Hash of the last event</th></tr></thead>
<tbody>
{"".join(map(_row, found.stores))}</tbody>
</table>
{waiting}<p>Complete means that head office holds every event that the store committed until that midnight of the
store's own time zone. The hash is over all events of the store up to the last one, so the store's ledger
is the same as head office's archive up to there if it has this hash there.</p>
<p>Made {format_time(found.made_us)} from {escape(database)}.</p>
<p class="signed"><span>Date, name</span><span>Signature</span></p>
</body>
</html>
"""


def _row(each: StoreClose) -> str:
    word = '<span class="yes">yes</span>' if each.complete else '<span class="no">no</span>'
    why = "" if each.complete else f"<small>{escape(why_not(each))}</small>"
    name = f"<small>{escape(each.name)}</small>" if each.name else ""
    totals = each.totals._asdict()
    numbers = "".join(f'<td class="n">{number:,}</td>' for number in (each.seq, *(totals[name] for name in _NUMBERS)))
    return (
        f"<tr><td>{escape(each.store)}{name}<small>until {escape(moment(each, each.until_us))}</small></td>"
        f"<td>{word}{why}</td>{numbers}<td>{_in_halves(each.hash)}</td></tr>\n"
    )


def _in_halves(text: str | None) -> str:
    """Write a hash in two lines: in one it takes the width of five columns, in more the height of a page."""
    half = len(text or "") // 2
    return f"<code>{text[:half]}<br>{text[half:]}</code>" if text else ""
