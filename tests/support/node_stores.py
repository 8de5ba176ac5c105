"""The state's store of a node, for tests: in memory or in LevelDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from node.schema import OWN, STATE
from node.store.level import LevelBackend
from node.store.memory import MemoryBackend
from node.store.own import OwnStore
from node.store.store import Backend, Store
from node.store.stores import Stores
from node.store.view import Rows, View

T = TypeVar("T")


def stores_over(backends: Sequence[Backend]) -> Stores:
    """A node's stores with all of its tables, over the backend of the state and that of its own rows."""
    state, own = backends
    return Stores(Store(STATE, state), OwnStore(OWN, own))


class Kept:
    """Rows in a store: every `unit` is one."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend = backend or MemoryBackend()
        self.store = Store(STATE, self.backend)

    @contextmanager
    def view(self) -> Iterator[View]:
        """What is stored now."""
        view = self.store.view()
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
            self.store.write(rows)
        return answer

    def write(self, rows: Rows) -> None:
        """Writes rows that were made elsewhere."""
        self.store.write(rows)

    def everything(self) -> dict[bytes, bytes]:
        """All keys with their values."""
        snapshot = self.store.snapshot()
        found = dict(snapshot.scan(b"", None, False))
        snapshot.close()
        return found


OpenBackend = Callable[[], AbstractContextManager[Backend]]


@contextmanager
def in_memory() -> Iterator[Backend]:
    """A new backend in memory."""
    yield MemoryBackend()


@contextmanager
def in_leveldb() -> Iterator[Backend]:
    """A new database in a folder that goes with it."""
    with TemporaryDirectory() as folder:
        backend = LevelBackend.open(Path(folder) / "state", STATE.name)
        try:
            yield backend
        finally:
            backend.close()


BACKENDS = [pytest.param(in_memory, id="memory"), pytest.param(in_leveldb, id="leveldb")]
