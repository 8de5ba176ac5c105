"""A small schema, and stores of it on both backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from node.store.keys import compound, fixed, tail, u8, u16
from node.store.level import open_own_store, open_store
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import MARKER, Schema, Table
from protocol.codec.declare import c32

VALUES: Table[tuple[bytes, int], int] = Table(b"va", "values", compound(fixed(1), u8), c32)
"""Values by letter and number."""
BY_REST = VALUES.index(b"vr", "values by rest", u16, lambda key, value: (value % 5, value % 7) if value else ())
"""Two entries of a row, none of a zero."""
BY_NUMBER = VALUES.key_index(b"vn", "values by number", u8, lambda key: (key[1],))

NAMES: Table[bytes, None] = Table(b"na", "names", tail, MARKER)
DURABLE: Table[int, int] = Table(b"du", "durable values", u16, c32, is_durable=True)
NOTES: Table[int, int] = Table(b"no", "own notes", u16, c32, is_own=True)

STATE = Schema("state", 3, (VALUES, NAMES, DURABLE))
OWN = Schema("own", 1, (SIGNED, NOTES))

MakeStores = Callable[[], Stores]


def in_memory() -> Stores:
    """Both stores in memory."""
    return Stores(Store.in_memory(STATE), OwnStore.in_memory(OWN))


def in_files(folder: Path) -> Stores:
    """Both stores in LevelDB."""
    state = open_store(folder / "state", STATE)
    return Stores(state, open_own_store(folder / "own", OWN))


@contextmanager
def opened(backend: str, folder: Path) -> Iterator[Stores]:
    """Both stores on a backend, closed afterwards."""
    stores = in_memory() if backend == "memory" else in_files(folder)
    try:
        yield stores
    finally:
        stores.close()
