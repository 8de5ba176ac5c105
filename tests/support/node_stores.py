"""Stores with the tables of the ledger, the mempool and checkpoints, for tests: in memory or in LevelDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

from node.checkpoint import tables as checkpoint_tables
from node.ledger import tables as ledger_tables
from node.mempool import tables as mempool_tables
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, OwnStore
from node.store.store import Backend, Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, View

T = TypeVar("T")

SCHEMA = Schema("ledger", 1, (*ledger_tables.TABLES, *mempool_tables.TABLES, *checkpoint_tables.TABLES))
OWN_SCHEMA = Schema("own", 1, (SIGNED,))


class Kept:
    """Rows in a store: every `unit` is one."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend = backend or MemoryBackend()
        self.stores = Stores(Store(SCHEMA, self.backend), OwnStore(OWN_SCHEMA, MemoryBackend()))

    @contextmanager
    def view(self) -> Iterator[View]:
        """What is stored now."""
        view = self.stores.view()
        try:
            yield view
        finally:
            view.close()

    def read(self, function: Callable[[View], T]) -> T:
        """The answer of a function of a view. Not for one that answers later."""
        with self.view() as view:
            return function(view)

    def unit(self, function: Callable[[Rows], T]) -> T:
        """Writes what a function puts, unless it raises."""
        with self.view() as view:
            rows = Rows(view)
            answer = function(rows)
            self.stores.write([rows])
        return answer

    def write(self, rows: Rows) -> None:
        """Writes rows that were made elsewhere."""
        self.stores.write([rows])

    def everything(self) -> dict[bytes, bytes]:
        """All keys with their values."""
        snapshot = self.stores.state.snapshot()
        found = dict(snapshot.scan(b"", None, False))
        snapshot.close()
        return found


OpenBackend = Callable[[], AbstractContextManager[Backend]]


@contextmanager
def in_memory() -> Iterator[Backend]:
    """A new backend in memory."""
    yield MemoryBackend()


BACKENDS = [pytest.param(in_memory, id="memory")]
