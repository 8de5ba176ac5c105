"""How a database is described: tables with columns, keys and indexes, triggers, and the texts that make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table."""

    name: str
    columns: str
    is_unique: bool = False
    where: str = ""
    on: str = "ON"
    """How the word is written."""
    gap: str = " "
    """Between the name of the table and its columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table."""

    name: str
    columns: tuple[str, ...]
    """Each with its type, and what else is said of it."""
    key: str = ""
    """What stands behind the columns."""
    has_rowid: bool = True
    is_quoted: bool = False
    indexes: tuple[Index, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(column.split(" ", 1)[0] for column in self.columns)

    def statement(self) -> str:
        """By which it is made."""
        name = f'"{self.name}"' if self.is_quoted else self.name
        inside = ", ".join((*self.columns, *((self.key,) if self.key else ())))
        return f"CREATE TABLE {name} ({inside}){'' if self.has_rowid else ' WITHOUT ROWID'}"

    def index_statements(self) -> Iterator[str]:
        """By which its indexes are made."""
        for one in self.indexes:
            kind = "UNIQUE INDEX" if one.is_unique else "INDEX"
            where = f" WHERE {one.where}" if one.where else ""
            yield f"CREATE {kind} {one.name} {one.on} {self.name}{one.gap}({one.columns}){where}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that refuses rows."""

    name: str
    table: str
    event: str
    when: str
    refuses: str
    """The condition under which a row is refused."""
    sentence: str

    def statement(self) -> str:
        """By which it is made."""
        return (
            f"CREATE TRIGGER {self.name} BEFORE {self.event} ON {self.table} FOR EACH ROW WHEN {self.when} "
            f"BEGIN SELECT RAISE(ABORT, '{self.sentence}') WHERE {self.refuses}; END"
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """One database."""

    file: str
    version: int
    tables: tuple[Table, ...]
    triggers: tuple[Trigger, ...] = ()

    def statements(self) -> tuple[str, ...]:
        """By which everything is made: tables, then indexes, then triggers."""
        indexes = [statement for table in self.tables for statement in table.index_statements()]
        return (
            *(table.statement() for table in self.tables),
            *indexes,
            *(trigger.statement() for trigger in self.triggers),
        )

    def table(self, name: str) -> Table:
        """One of the tables."""
        return next(table for table in self.tables if table.name == name)
