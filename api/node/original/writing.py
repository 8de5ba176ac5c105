"""A database of the original, made of records.

It is written beside its place, whole, and synced; whoever calls puts it there. The indexes are made when all rows are
there, which takes a third of the time. Specified in protocol 09b-node-storage-libp2p, section 5.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from api.edge.errors import DataError, EnvironmentFault
from node.migration import records
from node.migration.names import TABLE_OF
from node.migration.records import AnyRecord
from prover import durable

from .reading import PADDED, PADDED_BYTES
from .shape import Schema

WRITTEN_AT_ONCE = 1000
FILE_MODE = 0o644
"""As the original makes them."""
NONCE_BYTES = 8
_TOP = 1 << 63
_ATX_COLUMNS = records.Atx._fields[:-2]
"""Those of `atxs`; the last two are in `atx_blobs`."""


def write(
    path: Path,
    schema: Schema,
    given: Iterable[AnyRecord],
    told: Callable[[int], None] = lambda count: None,
) -> int:
    """Makes a new database of records, those of one table one after another; how many rows it has.

    told: is given the number of records that were written, again and again. Raises DataError where the file exists or a
    row is refused, EnvironmentFault.
    """
    if path.exists():
        raise DataError(f"{path} exists already.")
    try:
        with _explained(path):
            count = _write(path, schema, given, told)
        path.chmod(FILE_MODE)
        durable.sync_file(path)
        durable.sync_directory(path.parent)
    except BaseException as error:
        for ending in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                path.with_name(path.name + ending).unlink()
        if isinstance(error, OSError):
            raise EnvironmentFault(f"{path} cannot be written: {durable.reason(error)}.") from None
        raise
    return count


def _write(path: Path, schema: Schema, given: Iterable[AnyRecord], told: Callable[[int], None]) -> int:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # the file is of no use before it is whole, so nothing is kept of it that could be taken back
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for table in schema.tables:
            connection.execute(table.statement())
        count = 0
        for kind, same in groupby(given, key=type):
            while rows := list(islice(same, WRITTEN_AT_ONCE)):
                _insert(connection, kind, rows)
                count += len(rows)
                told(len(rows))
        for statement in schema.statements()[len(schema.tables) :]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
        return count
    finally:
        connection.close()


def _insert(connection: sqlite3.Connection, kind: type[AnyRecord], rows: Sequence[Any]) -> None:
    if kind is records.Atx:
        blobs = [(row.id, row.atx, row.version) for row in rows]
        connection.executemany("INSERT INTO atx_blobs (id, atx, version) VALUES (?, ?, ?)", blobs)
        _into(connection, kind, _ATX_COLUMNS, (row[:-2] for row in rows))
    elif kind is records.Recovery:
        _into(connection, kind, ("id", "restore"), ((1, row.restore) for row in rows))
    elif kind is records.MalfeasanceSync:
        _into(connection, kind, ("id", "timestamp"), ((1, row.timestamp) for row in rows))
    else:
        _into(connection, kind, kind._fields, rows)


def _into(
    connection: sqlite3.Connection, kind: type[AnyRecord], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    convert = [_conversion(kind, column) for column in columns]
    places = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT INTO {TABLE_OF[kind]} ({', '.join(columns)}) VALUES ({places})",
        ([one(value) for one, value in zip(convert, row)] for row in rows),
    )


def _conversion(kind: type[AnyRecord], column: str) -> Callable[[Any], Any]:
    if column in PADDED.get(kind, ()):
        return lambda value: value.ljust(PADDED_BYTES, b"\0")
    if kind is records.Transaction and column == "nonce":
        return lambda value: None if value is None else value.to_bytes(NONCE_BYTES, "big")
    return _stored


def _stored(value: Any) -> Any:
    """SQLite's numbers are signed: large ones wrap around. Ids are bytes, whatever class they have."""
    if isinstance(value, int):
        return value - 2 * _TOP if value >= _TOP else int(value)
    return value


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise EnvironmentFault(f"{path} cannot be written: {error}.") from None
    except sqlite3.Error as error:
        raise DataError(f"{path} cannot be made: {error}.") from None
