"""What the original's databases are made of, and what they hold: api/storage_schema.json.

The recorded chain and rows of an identity's own are written as its databases, and those are looked at in the same way
as the original's were: columns, keys, indexes, and the kinds and lengths of values. Lengths of numbers, and of bytes
that differ from chain to chain, are not compared.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from api.node.original import reading, schema, shape, writing
from node.migration import records
from node.migration.give import state_records
from node.migration.records import AnyRecord
from tests.support.imported_chain import imported_chain
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors

ORIGINS = {"c": "create index", "pk": "primary key", "u": "unique constraint"}
ID = bytes(range(32))
LOCAL: list[AnyRecord] = [
    records.PreparedActiveSet(0, 7, ID, 1234, b"\x08" + 2 * ID),
    records.AtxSyncRequest(6, 1_795_403_300, 4, 3),
    records.MalfeasanceSync(1_795_403_301),
]


@vectors("api/storage_schema.json", variants=False)
def storage(document: Any, context: Context) -> Iterator[Any]:
    """A case for every table, and one for what a database says of itself."""
    yield from unknown_sections(document, (schema.STATE.file, schema.LOCAL.file))
    for one in (schema.STATE, schema.LOCAL):
        said = document[one.file]
        yield Case(one.file, lambda one=one, said=said: _database(one, said))
        for name, table in said["tables"].items():
            yield Case(f"{one.file}/{name}", lambda one=one, name=name, table=table: _table(one, name, table))


@cache
def _facts(file: str) -> Mapping[str, Any]:
    """Of a database of ours, in the form of the record."""
    one = schema.STATE if file == schema.STATE.file else schema.LOCAL
    chain = imported_chain()
    genesis = chain.parameters.time.effective_genesis
    given = state_records(chain.stores.view(), genesis) if one is schema.STATE else LOCAL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        writing.write(path, one, given)
        with reading.Database.opened(path, one, Path(folder)):
            pass  # what we write, we read
        with closing(sqlite3.connect(path)) as connection:
            return _looked_at(connection)


def _looked_at(connection: sqlite3.Connection) -> Mapping[str, Any]:
    def one(text: str) -> Any:
        return connection.execute(text).fetchone()[0]

    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
    ]
    pragmas = ("user_version", "journal_mode", "page_size", "auto_vacuum", "application_id", "encoding")
    kinds = "SELECT name FROM sqlite_master WHERE type = '{}' ORDER BY name"
    return {
        **{name: one(f"PRAGMA {name}") for name in pragmas},
        "triggers": [name for (name,) in connection.execute(kinds.format("trigger"))],
        "views": [name for (name,) in connection.execute(kinds.format("view"))],
        "tables": {name: _table_facts(connection, name) for name in names},
    }


def _table_facts(connection: sqlite3.Connection, name: str) -> Mapping[str, Any]:
    (text,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    columns = [
        {"name": column, "type": kind, "notnull": bool(is_needed), "default": default, "pk": place}
        for _, column, kind, is_needed, default, place in connection.execute(f'PRAGMA table_info("{name}")')
    ]
    return {
        "columns": columns,
        "without_rowid": text.endswith("WITHOUT ROWID"),
        "indices": {
            row[1]: _index_facts(connection, row) for row in connection.execute(f'PRAGMA index_list("{name}")')
        },
        "seen": {column["name"]: _seen(connection, name, column["name"]) for column in columns},
    }


def _index_facts(connection: sqlite3.Connection, row: Any) -> tuple[Any, ...]:
    _, name, is_unique, origin, is_partial = row
    parts = [
        [column, "desc" if is_descending else "asc"]
        for _, _, column, is_descending, _, is_key in connection.execute(f'PRAGMA index_xinfo("{name}")')
        if is_key
    ]
    (text,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone() or (None,)
    where = (text or "").partition(" WHERE ")[2].lower() or None
    return bool(is_unique), ORIGINS[origin], bool(is_partial), parts, where


def _seen(connection: sqlite3.Connection, table: str, column: str) -> Mapping[str, tuple[int, int]]:
    """By kind of value, the least and the greatest length."""
    found = connection.execute(
        f'SELECT typeof("{column}"), min(length("{column}")), max(length("{column}")) FROM "{table}" GROUP BY 1'
    )
    return {kind: (least, most) for kind, least, most in found}


def _database(one: shape.Schema, said: Any) -> None:
    found = _facts(one.file)
    for name in ("user_version", "journal_mode", "page_size", "auto_vacuum", "application_id", "encoding", "views"):
        assert found[name] == said[name], f"{name} is {found[name]}, expected {said[name]}"
    assert found["triggers"] == sorted(said["triggers"])
    assert found["tables"].keys() == said["tables"].keys()


def _table(one: shape.Schema, name: str, said: Any) -> None:
    found = _facts(one.file)["tables"][name]
    assert found["columns"] == said["columns"], f"{found['columns']}, expected {said['columns']}"
    assert found["without_rowid"] == said["without_rowid"]
    indexes = {
        row["name"]: (row["unique"], row["origin"], row["partial"], row["columns"], row["where"])
        for row in said["indices"]
    }
    assert found["indices"] == indexes, f"{found['indices']}, expected {indexes}"
    for column, kinds in said.get("seen", {}).items():
        lengths = {kind["type"]: (kind["min_len"], kind["max_len"]) for kind in kinds}
        for kind, there in found["seen"][column].items():
            assert kind in lengths, f"{column} holds {kind}, expected {', '.join(lengths)}"
            least, most = lengths[kind]
            if kind == "blob" and least == most and least in (4, 20, 24, 32, 8):
                assert there == (least, most), f"{column} has {there} bytes, expected {least}"
