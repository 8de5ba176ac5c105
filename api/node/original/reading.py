"""The rows of the original's databases, as records.

A database with a log beside it (`-wal`) is copied with it and opened there: to open it where it lies would change files
of the original. One without is opened as it is, for reading alone. Its version and every table and column are compared
before a row is read. Specified in protocol 09b-node-storage-libp2p, sections 5 and 6.1.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import quote

from api.edge.errors import DataError, EnvironmentFault
from node.migration import records
from node.migration.names import TABLE_OF
from node.migration.records import AnyRecord
from protocol.numbers.u64 import MASK
from prover import durable

from .shape import Schema

LOG = "-wal"
"""Ending of the file with what is not in the database's own file yet."""
ID_BYTES, PADDED_BYTES = 20, 32
PADDED: dict[type[AnyRecord], tuple[str, ...]] = {
    records.Ballot: ("id",),
    records.Block: ("id",),
    records.BlockTransaction: ("bid",),
    records.ProposalTransaction: ("pid",),
}
"""Columns in which an id of 20 bytes has zeros behind it, up to 32."""
SIGNED: dict[type[AnyRecord], tuple[str, ...]] = {records.Block: ("validity",)}
"""Columns of numbers that may be negative; all others are unsigned, wrapped around where they are large."""
SORTED: dict[type[AnyRecord], str] = {
    records.Marriage: "rowid",
    records.Atx: "epoch",
    records.Layer: "id",
}
"""By what records are given in order, where it matters."""
READ_AT_ONCE = 1000
CACHE_BYTES = 64 << 20
"""Of pages, so that a check of indexes does not read the tables again and again."""


class Database:
    """One database, open for reading."""

    def __init__(self, path: Path, schema: Schema, connection: sqlite3.Connection) -> None:
        self.path = path
        """Where it lies; what is open may be a copy."""
        self.schema = schema
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, path: Path, schema: Schema, scratch: Path) -> Iterator[Database]:
        """scratch: a folder for a copy, if one is needed. Raises DataError, which names what is wrong with it,
        EnvironmentFault."""
        where = _at_rest(path, scratch)
        with _explained(path):
            connection = sqlite3.connect(_address(where, is_fixed=where == path), uri=True, isolation_level=None)
        try:
            found = cls(path, schema, connection)
            found._check()
            yield found
        finally:
            connection.close()

    def count(self, kind: type[AnyRecord]) -> int:
        """How many records of a kind there are. Raises DataError."""
        with _explained(self.path):
            (number,) = self._connection.execute(f"SELECT count(*) FROM {TABLE_OF[kind]}").fetchone()
        return int(number)

    def records(self, kind: type[Any]) -> Iterator[Any]:
        """All records of a kind. Raises DataError, which names the table and the column."""
        table = TABLE_OF[kind]
        columns = self._columns(kind)
        convert = [self._conversion(kind, name) for name in kind._fields]
        with _explained(self.path, table):
            cursor = self._connection.execute(
                f"SELECT {', '.join(columns)} FROM {_source(kind)}"
                + (f" ORDER BY {SORTED[kind]}" if kind in SORTED else "")
            )
            while rows := cursor.fetchmany(READ_AT_ONCE):
                for row in rows:
                    yield kind(*[one(value) for one, value in zip(convert, row)])

    # ---- checks ----

    def _check(self) -> None:
        with _explained(self.path):
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_BYTES >> 10}")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            self._check_version(int(version))
            for table in self.schema.tables:
                found = {name for _, name, *_ in self._connection.execute(f'PRAGMA table_info("{table.name}")')}
                self._check_columns(table.name, found, set(table.column_names))
            # not quick_check: SQLite 3.40 finds NULL in keys where there is none
            (verdict,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise DataError(f"{self.path} is damaged: {str(verdict).splitlines()[-1]}. {RESTORE}")

    def _check_version(self, version: int) -> None:
        expected = self.schema.version
        if version == expected:
            return
        if version > expected:
            what = "It was written by a newer release of the original than this program knows: use a newer smesher."
        elif version:
            what = "Start the original of release 1.7.6 on it once, which brings it up to date, then try again."
        else:
            what = "It is no database of the original, or was never written to."
        raise DataError(f"{self.path} has version {version} (user_version), expected {expected}. {what}")

    def _check_columns(self, table: str, found: set[str], expected: set[str]) -> None:
        if not found:
            raise DataError(
                f"{self.path} has no table {table}, although its version is {self.schema.version}. {RESTORE}"
            )
        for column in sorted(expected - found):
            raise DataError(f"{self.path}: table {table} has no column {column}. {RESTORE}")
        for column in sorted(found - expected):
            raise DataError(
                f"{self.path}: table {table} has a column {column} that version {self.schema.version} does not have. "
                "It was changed by another program; what it means is not known here, and it would be lost."
            )

    # ---- rows ----

    def _columns(self, kind: type[Any]) -> tuple[str, ...]:
        if kind is records.Atx:
            return tuple(f"{'b' if name in ('atx', 'version') else 'a'}.{name}" for name in kind._fields)
        return tuple(kind._fields)

    def _conversion(self, kind: type[AnyRecord], column: str) -> Callable[[Any], Any]:
        """What a value of a column becomes; it raises DataError for one of another kind."""
        where = f"{self.path}: table {TABLE_OF[kind]}, column {column}"
        wanted = get_type_hints(kind)[column]
        is_optional = type(None) in get_args(wanted)
        expected: type[Any] = get_args(wanted)[0] if is_optional else wanted
        is_padded, is_signed = column in PADDED.get(kind, ()), column in SIGNED.get(kind, ())
        is_counter = kind is records.Transaction and column == "nonce"

        def convert(value: Any) -> Any:
            if value is None and is_optional:
                return None
            if is_counter and isinstance(value, bytes):
                return int.from_bytes(value, "big")
            if expected is bytes and isinstance(value, str):
                return value.encode()
            if type(value) is not expected:
                raise DataError(
                    f"{where} holds {_kind(value)}, expected {_KINDS[expected]}"
                    f"{' or NULL' if is_optional else ''}. {RESTORE}"
                )
            if is_padded:
                if len(value) != PADDED_BYTES or any(value[ID_BYTES:]):
                    raise DataError(f"{where} holds {value.hex()}, expected 20 bytes and 12 zeros behind. {RESTORE}")
                return value[:ID_BYTES]
            return value & MASK if expected is int and not is_signed else value

        return convert


RESTORE = "Restore it from a copy, or let the original sync it anew."
_KINDS = {int: "a number", bytes: "bytes", str: "text"}


def _kind(value: object) -> str:
    return "NULL" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


def _source(kind: type[AnyRecord]) -> str:
    if kind is records.Atx:
        return "atxs a LEFT JOIN atx_blobs b ON b.id = a.id"
    return TABLE_OF[kind]


def size_of(path: Path) -> int:
    """Bytes of a database with its log. Raises DataError where it is not there, EnvironmentFault."""
    try:
        if not path.is_file():
            raise DataError(f"{path} is not there. Name the data directory of an original node.")
        log = path.with_name(path.name + LOG)
        return path.stat().st_size + (log.stat().st_size if log.is_file() else 0)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {durable.reason(error)}.") from None


def needs_copy(path: Path) -> bool:
    """Whether something is beside a database that is not in its file yet."""
    log = path.with_name(path.name + LOG)
    return log.is_file() and log.stat().st_size > 0


def _at_rest(path: Path, scratch: Path) -> Path:
    """The database, or a copy of it with its log."""
    size_of(path)
    if not needs_copy(path):
        return path
    copy = scratch / path.name
    try:
        for ending in ("", LOG):
            shutil.copyfile(path.with_name(path.name + ending), copy.with_name(copy.name + ending))
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be copied to {scratch}: {durable.reason(error)}.") from None
    return copy


def _address(path: Path, *, is_fixed: bool) -> str:
    """For SQLite: a file that nobody changes is read without a lock and without files beside it."""
    return f"file:{quote(str(path))}?" + ("immutable=1" if is_fixed else "mode=rw")


@contextmanager
def _explained(path: Path, table: str = "") -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        where = f" (table {table})" if table else ""
        if "not a database" in text:
            raise DataError(f"{path} is no SQLite database. {RESTORE}") from None
        if "malformed" in text or "corrupt" in text:
            raise DataError(f"{path} is damaged{where}: {text}. {RESTORE}") from None
        raise DataError(f"{path} cannot be read{where}: {text}.") from None
