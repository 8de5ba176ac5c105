"""What the columns of records hold, read so that what is wrong is told by table, column and row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from node.store.view import Rows
from protocol.errors import ProtocolError

from .errors import MigrationError
from .names import TABLE_OF
from .records import AnyRecord

T = TypeVar("T")

MOST_SHOWN = 64
"""Characters of a column's value."""


def put_each(putters: Mapping[type[Any], Callable[[Rows, Any], None]], rows: Rows, given: Iterable[AnyRecord]) -> None:
    """Puts records by what their kind asks for. Raises MigrationError (unreadable) for one that no row can hold, such
    as an id of another length; StoreFault."""
    for record in given:
        try:
            putters[type(record)](rows, record)
        except (ProtocolError, ValueError) as error:
            said = ", ".join(f"{name} {_shown(value)}" for name, value in zip(record._fields, record))
            raise MigrationError(
                f"{TABLE_OF[type(record)]}: a row cannot be taken, {error}. It has {said}.", "unreadable"
            ) from None


def _shown(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def read(table: str, column: str, key: bytes, decode: Callable[[bytes], T], data: bytes) -> T:
    """What the bytes of a column are. Raises MigrationError (unreadable)."""
    try:
        return decode(data)
    except (ProtocolError, ValueError) as error:
        raise MigrationError(
            f"{table}: column {column} of row {key.hex()} cannot be read: {error}", "unreadable"
        ) from None


def require_id(table: str, column: str, key: bytes, expected: bytes) -> None:
    """Raises MigrationError (inconsistent) where a key is not the id of the bytes beside it."""
    if key != expected:
        raise MigrationError(
            f"{table}: column {column} is {key.hex()}, but the bytes beside it have the id {expected.hex()}.",
            "inconsistent",
        )
