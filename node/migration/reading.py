"""What the columns of records hold, read so that what is wrong is told by table, column and row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from protocol.errors import ProtocolError

from .errors import MigrationError

T = TypeVar("T")


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
