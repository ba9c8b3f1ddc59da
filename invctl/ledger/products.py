"""What a store sells. Adding and editing a product are events like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invctl.errors import InvalidValueError, WrongStateError
from invctl.language import _, marked
from invctl.ledger.checks import check_name
from invctl.ledger.database import first
from invctl.ledger.writing import NOBODY, Origin, Receipt, Write
from invctl.model import events
from invctl.model.identifiers import parse_sku
from invctl.model.stock import LEVEL_MAX

if TYPE_CHECKING:
    from invctl.ledger.ledger import Ledger

NAME_CHARS_MAX = 200


def add(ledger: Ledger, sku: str, name: str, price: int | None = None, origin: Origin = NOBODY) -> Receipt:
    """Add a product, with nothing on hand. `price` is in minor units of the store's currency.

    Raises WrongStateError where the store carries it already, InvalidValueError where a value is out of range,
    DiskLowError where the disk is low.
    """
    sku = parse_sku(sku)
    check_product(name, price)
    arguments = {"sku": sku, "name": name, "price": price}

    def body(write: Write, origin: Origin) -> Receipt:
        found = first(write.connection, "SELECT name FROM products WHERE sku = ?", (sku,))
        if found:
            hint = _("`invctl product edit {sku}` changes it, `invctl receive {sku} N` adds stock", sku=sku)
            raise WrongStateError(_("{sku} is there already: {name}", sku=sku, name=found[0]), hint=hint, sku=sku)
        return insert(write, arguments, origin)

    return ledger.decide("product.add", arguments, origin, (), body, grows=True)


def insert(write: Write, data: dict[str, Any], origin: Origin) -> Receipt:
    """Write a new product, within a transaction that has checked it."""
    write.connection.execute("INSERT INTO products VALUES (?, ?, ?)", (data["sku"], data["name"], data["price"]))
    write.connection.execute("INSERT INTO stock VALUES (?, 0, 0, 0)", (data["sku"],))
    return write.append(events.PRODUCT_ADDED, data["sku"], _with_clerk(data, origin), origin)


def edit(ledger: Ledger, sku: str, changes: dict[str, Any], origin: Origin = NOBODY) -> Receipt:
    """Change a product's `name`, `price` or both; a price of None takes it away. Nothing new writes nothing.

    Raises NotFoundError, or InvalidValueError where a value is out of range.
    """
    check_product(changes.get("name", "-"), changes.get("price"))

    def body(write: Write, origin: Origin) -> Receipt:
        write.level(sku)
        name, price = first(write.connection, "SELECT name, price FROM products WHERE sku = ?", (sku,))
        data = {"sku": sku, "name": name, "price": price, **changes}
        if (data["name"], data["price"]) == (name, price):
            return Receipt(0, b"")
        return update(write, data, origin)

    return ledger.decide("product.edit", {"sku": sku, **changes}, origin, (), body)


def update(write: Write, data: dict[str, Any], origin: Origin) -> Receipt:
    """Write a product's new name and price, within a transaction that has checked them."""
    values = (data["name"], data["price"], data["sku"])
    write.connection.execute("UPDATE products SET name = ?, price = ? WHERE sku = ?", values)
    return write.append(events.PRODUCT_EDITED, data["sku"], _with_clerk(data, origin), origin)


def check_product(name: str, price: int | None) -> None:
    """Raise InvalidValueError where a product cannot be called so, or cost that."""
    check_name(name, marked("product's name"), NAME_CHARS_MAX)
    if price is not None and not 0 <= price <= LEVEL_MAX:
        raise InvalidValueError(
            _("{price} is not a price", price=price), hint=_("in whole minor units, not below zero")
        )


def _with_clerk(data: dict[str, Any], origin: Origin) -> dict[str, Any]:
    return {**data, "clerk": origin.clerk} if origin.clerk else data
