"""Central's database as a test uses it: set up, with a fence in hand."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Table, event, select

from central import driver, fence, stores, tables
from central.apply import Applied, apply_intakes
from central.cursors import load_cursor
from central.database import open_database, reading, writing
from central.migrations import migrate
from central.shards import found
from central.verify import Verification, verify_store
from invctl.clock import SystemClock
from invctl.model.stock import StockLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine, Row

    from invctl.clock import Clock
    from invctl.sync.cursor import Cursor, Heard, Intake
    from tests.integration.central.histories import History


def set_up(url: str, shards: int = 1) -> None:
    engine = open_database(url, clock=SystemClock(), create=True)
    migrate(engine)
    with writing(engine) as connection:
        found(connection, shards)
        connection.commit()
    engine.dispose()


class HeadOffice:
    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.chance = random.Random(1)
        self.engine = open_database(url, clock=clock)
        self.fence = self.mint()

    def mint(self, holder: str = "central-1", shard: int = 0) -> str:
        with writing(self.engine) as connection:
            token = fence.mint(connection, shard, holder, self.chance)
            connection.commit()
        return token

    def admit(self, *ids: str) -> None:
        with writing(self.engine) as connection:
            for store in ids:
                stores.admit(connection, store)
            connection.commit()

    def register(self, *heard: Heard, admit_any: bool = False) -> list[Cursor]:
        with writing(self.engine) as connection:
            cursors = stores.register_newcomers(connection, list(heard), admit_any=admit_any)
            connection.commit()
        return cursors

    def apply(
        self, *intakes: Intake, heard: tuple[Heard, ...] = (), fresh: dict[str, int] | None = None
    ) -> list[Applied]:
        return apply_intakes(self.engine, 0, self.fence, intakes, heard=heard, fresh=fresh)

    def take(self, history: History, upto: int | None = None) -> Applied:
        """Apply what this central lacks of a history."""
        [applied] = self.apply(history.intake(self.cursor(history.store).applied_seq, upto))
        return applied

    def cursor(self, store: str) -> Cursor:
        with reading(self.engine) as connection:
            cursor = load_cursor(connection, store)
        assert cursor is not None
        return cursor

    def rows(self, table: Table, **equal: Any) -> list[Row[*tuple[Any, ...]]]:
        query = select(table).where(*(table.c[name] == value for name, value in equal.items()))
        with reading(self.engine) as connection:
            return list(connection.execute(query.order_by(*table.primary_key)))

    def levels(self, store: str = "downtown") -> dict[str, StockLevel]:
        rows = self.rows(tables.levels, store=store)
        return {row.sku: StockLevel(row.on_hand, row.reserved, row.version) for row in rows}

    def suspects(self, store: str = "downtown") -> dict[str, str]:
        return {row.sku: row.reason for row in self.rows(tables.suspects, store=store)}

    def verify(self, store: str = "downtown") -> Verification:
        with reading(self.engine) as connection:
            return verify_store(connection, store)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table, to see that nothing changed."""
        return {table.name: [tuple(row) for row in self.rows(table)] for table in tables.metadata.sorted_tables}

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def each_statement(engine: Engine, see: Callable[[str], None]) -> Iterator[None]:
    """Call `see` before each statement of an engine, with its text, on whichever path it goes."""

    def through_sqlalchemy(_connection: object, _cursor: object, text: str, *_: object) -> None:
        see(text)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "run", "run_many"):
            patch.setattr(driver, name, _seen(getattr(driver, name), engine, see))
        event.listen(engine, "before_cursor_execute", through_sqlalchemy)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", through_sqlalchemy)


def _seen(run: Callable[..., Any], engine: Engine, see: Callable[[str], None]) -> Callable[..., Any]:
    def first_seen(connection: Connection, text: str, *parameters: Any) -> Any:
        if connection.engine is engine:
            see(text)
        return run(connection, text, *parameters)

    return first_seen
