"""Whether every row of a store can be read, and every index says what its table says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from protocol.errors import ProtocolError

from .errors import StoreDamaged
from .store import Store
from .table import PREFIX_BYTES, RESERVED, Index, Table
from .view import Snapshot, decoded_entry, decoded_key

SHOWN = 100
"""Faults that are described; all are counted."""

Progress = Callable[[int], None]
"""Told how many rows and entries more were read."""


@dataclass(slots=True)
class RowReport:
    """What was read, and what is wrong with it."""

    rows: Counter[str] = field(default_factory=Counter)
    """Rows by table, entries by index."""
    faults: int = 0
    texts: list[str] = field(default_factory=list)
    """The first of them: sentences."""

    def add(self, text: str) -> None:
        """One more fault."""
        self.faults += 1
        if len(self.texts) < SHOWN:
            self.texts.append(text)


def check_rows(store: Store, progress: Progress = lambda count: None) -> RowReport:
    """Read everything. Raises StoreFault where the database itself cannot be read."""
    spaces = {space.prefix: space for space in store.schema.spaces()}
    report = RowReport()
    snapshot = store.snapshot()
    try:
        for key, data in snapshot.scan(b"", None, False):
            space, raw = spaces.get(key[:PREFIX_BYTES]), key[PREFIX_BYTES:]
            if space is None:
                if not key.startswith(RESERVED):
                    report.add(f"Key {key.hex()} belongs to no table of {store.schema.name}.")
                continue
            report.rows[space.name] += 1
            problems = _row(snapshot, space, raw, data) if isinstance(space, Table) else _entry(snapshot, space, raw)
            for problem in problems:
                report.add(problem)
            progress(1)
    finally:
        snapshot.close()
    return report


def _row(snapshot: Snapshot, table: Table[Any, Any], raw: bytes, data: bytes) -> Iterator[str]:
    where = f"Key {raw.hex()} of {table.name}"
    try:
        key = decoded_key(table, raw)
        row = table.row.decode(data)
        again = table.row.encode(row)
    except (StoreDamaged, ProtocolError, ValueError) as error:
        yield f"{where}: the row cannot be read: {error}"
        return
    if again != data:
        yield f"{where}: the row is not written as it would be: {data[:40].hex()}, expected {again[:40].hex()}."
    for index in table.indexes:
        for entry in index.entries(key, row, raw):
            if snapshot.get(index.prefix + entry) is None:
                yield f"{where}: the index {index.name} has no entry of it."


def _entry(snapshot: Snapshot, index: Any, raw: bytes) -> Iterator[str]:
    assert isinstance(index, Index), "a space is a table or an index"
    where = f"Entry {raw.hex()} of {index.name}"
    table = index.table
    try:
        _, primary = decoded_entry(index, raw)
        data = snapshot.get(table.prefix + primary)
        if data is None:
            yield f"{where} leads to key {primary.hex()} of {table.name}, which has no row."
        elif raw not in index.entries(decoded_key(table, primary), table.row.decode(data), primary):
            yield f"{where} leads to key {primary.hex()} of {table.name}, whose row has another one."
    except (StoreDamaged, ProtocolError, ValueError) as error:
        yield f"{where} cannot be read: {error}"
