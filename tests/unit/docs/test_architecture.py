"""The entity diagrams in docs/architecture.md say what the schemas say.

After a change of a schema, `python tests/unit/docs/test_architecture.py` writes the diagrams anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from central.tables import metadata
from invctl.ledger.migrations import migrate

DOCUMENT = Path(__file__).parents[3] / "docs" / "architecture.md"


def ledger_diagram() -> str:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    listed = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    entities, relations = [], []
    for table in [str(name) for (name,) in listed]:
        foreign = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
        columns = []
        for _, name, type_, _, _, key in connection.execute(f"PRAGMA table_info({table})"):
            columns.append(column(type_, name, primary=bool(key), foreign=name in foreign))
        entities.append(entity(table, columns))
        relations += [f"    {target} ||--o{{ {table} : {name}" for name, target in sorted(foreign.items())]
    return "\n".join(["erDiagram", *relations, *entities])


def central_diagram() -> str:
    entities, relations = [], []
    for table in sorted(metadata.tables.values(), key=lambda each: each.name):
        columns = []
        for each in table.columns:
            type_ = {"BIGINT": "INTEGER", "BLOB": "BLOB"}.get(str(each.type), str(each.type))
            columns.append(column(type_, each.name, primary=each.primary_key, foreign=bool(each.foreign_keys)))
            relations += [
                f"    {key.column.table.name} ||--o{{ {table.name} : {each.name}" for key in each.foreign_keys
            ]
        entities.append(entity(table.name, columns))
    return "\n".join(["erDiagram", *sorted(relations), *entities])


def column(type_: str, name: str, *, primary: bool, foreign: bool) -> str:
    marks = ", ".join([*(["PK"] if primary else []), *(["FK"] if foreign else [])])
    return f"        {type_} {name} {marks}".rstrip()


def entity(table: str, columns: list[str]) -> str:
    return "\n".join([f"    {table} {{", *columns, "    }"])


DIAGRAMS = {"ledger": ledger_diagram, "central": central_diagram}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- diagram: {name} -->\n```mermaid\n)(.*?)(\n```)", re.DOTALL)


@pytest.mark.parametrize("name", DIAGRAMS)
def test_the_entity_diagram_is_the_schema(name: str) -> None:
    found = block(name).search(DOCUMENT.read_text(encoding="utf-8"))
    assert found, f"docs/architecture.md has no diagram of the {name}"
    assert found[2] == DIAGRAMS[name]()


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    for each, draw in DIAGRAMS.items():
        before, after = block(each).split(text)[0], block(each).split(text)[-1]
        text = f"{before}<!-- diagram: {each} -->\n```mermaid\n{draw()}\n```{after}"
    DOCUMENT.write_text(text, encoding="utf-8")
