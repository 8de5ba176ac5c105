"""The format of a batch: what one record of a log does to the rows."""

from __future__ import annotations

from collections.abc import Iterator

from .findings import number, text

HEADER_BYTES = 12
"""Number of the first operation, count of them."""

_DELETE, _PUT = 0, 1


def operations(record: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Key and value of each operation in order; None: the row is deleted. Raises ValueError."""
    if len(record) < HEADER_BYTES:
        raise ValueError(f"a batch has {len(record)} bytes, expected at least {HEADER_BYTES}")
    at = HEADER_BYTES
    for _ in range(int.from_bytes(record[8:HEADER_BYTES], "little")):
        kind, at = number(record, at)
        key, at = text(record, at, "a batch")
        if kind == _PUT:
            value, at = text(record, at, "a batch")
            yield key, value
        elif kind == _DELETE:
            yield key, None
        else:
            raise ValueError(f"an operation of a batch has type {kind}, expected 0 or 1")
