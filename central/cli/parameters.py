"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from invctl.console.options import Parsed
from invctl.model.identifiers import check_store, parse_sku

STORE = Parsed("STORE", check_store)
SKU = Parsed("SKU", parse_sku)

Store = Annotated[str, Argument(click_type=STORE, help="The store's id, such as downtown.")]
AnyStore = Annotated[str | None, Option("--store", click_type=STORE, help="Of this store alone.")]
AnySku = Annotated[str | None, Argument(click_type=SKU, metavar="SKU", help="One item alone.")]
