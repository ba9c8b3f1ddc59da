"""Its table of commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invctl.console.main import run

if TYPE_CHECKING:
    from typer.core import TyperOption

    from invctl.console.lazy import LazyGroup


def build() -> LazyGroup:
    # Imported here, as the real command lines do.
    from invctl.console.command import Command
    from invctl.console.lazy import Entry, Family, LazyGroup
    from invctl.console.options import shared_option

    class ShopCommand(Command):
        @classmethod
        def shared_options(cls) -> list[TyperOption]:
            return [shared_option("--home", text="The store's folder.", envvar="SHOP_HOME"), *super().shared_options()]

    products = {
        "add": Entry("tests.unit.console.shop.selling:adjust", "Add a product."),
        "list": Entry("tests.unit.console.shop.listing:stock", "List the products."),
    }
    return LazyGroup(
        "shop",
        {
            "adjust": Entry("tests.unit.console.shop.selling:adjust", "Correct the stock of a product.", "Selling"),
            "where": Entry("tests.unit.console.shop.selling:where", "Tell which folder is used.", "Selling"),
            "fail": Entry("tests.unit.console.shop.failing:fail", "Fail in a chosen way.", "Failing"),
            "interrupted": Entry(
                "tests.unit.console.shop.interrupted:never", "Be interrupted while it is imported.", "Failing"
            ),
            "wait": Entry("tests.unit.console.shop.failing:wait", "Wait for Ctrl-C.", "Failing"),
            "stock": Entry("tests.unit.console.shop.listing:stock", "Show what is there.", "Stock"),
            "many": Entry("tests.unit.console.shop.listing:many", "Write many lines.", "Stock"),
            "plain": Entry("tests.unit.console.shop.listing:plain", "Write in its own way.", "Stock"),
            "follow": Entry("tests.unit.console.shop.listing:follow", "Show what happens.", "Stock"),
            "product": Family(products, "The products of this store.", "Stock"),
        },
        text="Keep a store's stock, and sell from it.",
        version="1.2.3",
        command_class=ShopCommand,
    )


if __name__ == "__main__":
    sys.exit(run("shop", build))
