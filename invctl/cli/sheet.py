"""A page of barcodes to print and keep beside the scanner."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invctl.errors import InvalidValueError, NotFoundError
from invctl.language import _, current

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE = """<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<title>{title}</title>
<style>
  body {{ font: 14px system-ui, sans-serif; margin: 15mm; }}
  ul {{ list-style: none; padding: 0; display: grid; grid-template-columns: 1fr 1fr; gap: 10mm; }}
  li {{ border: 1px solid #ccc; border-radius: 2mm; padding: 4mm; break-inside: avoid; }}
  b {{ display: block; font-size: 18px; margin-bottom: 2mm; }}
  svg {{ display: block; margin-top: 3mm; }}
  @page {{ margin: 15mm; }}
  @media print {{ body {{ margin: 0; }} }}
</style>
<h1>{heading}</h1>
<ul>
{items}
</ul>
</html>
"""


def write(name: str, codes: Mapping[str, str]) -> Path:
    """Write a page of these codes (Code 128), each with what it means, and return where it is.

    Raises InvalidValueError where the file cannot be written, NotFoundError where the drawing library is missing.
    """
    try:
        import barcode  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise NotFoundError(
            _("the package python-barcode is not installed"), hint="pip install 'invctl[labels]'"
        ) from None
    items = "\n".join(
        f"<li><b>{escape(code.lstrip('!').lower())}</b>{escape(text)}{_drawn(barcode, code)}</li>"
        for code, text in codes.items()
    )
    page = _PAGE.format(language=current(), title=_("Command barcodes"), heading=_("At the counter"), items=items)
    path = Path(name).expanduser().absolute()
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(
            _("{path} cannot be written: {why}", path=path, why=error.strerror),
            hint=_("name another file, or make room"),
        ) from None
    return path


def _drawn(library: Any, code: str) -> str:
    options = {"module_height": 14.0, "module_width": 0.3, "write_text": False}
    drawn: str = library.get("code128", code).render(options).decode()
    return drawn[drawn.index("<svg") :]
