"""The store of one schema: opens, gives snapshots, writes the rows of several units in one batch.

What is written is either there whole or not at all, after a kill at any instant. After a write that failed nothing is
read or written any more: what the disk holds is known only to the next one who opens it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from .errors import WHAT_TO_DO, StoreDamaged, StoreFault, StoreRefused
from .memory import MemoryBackend
from .table import RESERVED, Schema, Space
from .view import Rows, Snapshot, StoreView

_SCHEMA_NAME = RESERVED + b"n"
_SCHEMA_VERSION = RESERVED + b"v"


class Backend(Protocol):
    """An ordered key space. Every method raises StoreFault."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key now."""

    def snapshot(self) -> Snapshot:
        """Everything as it is now."""

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        """All changes at once, later ones over earlier ones; None deletes. sync: on stable storage on return."""

    def close(self) -> None:
        """Lets go of it."""


class Store:
    """The tables of one schema on one backend. One thread writes; with LevelDB, any may read snapshots meanwhile."""

    def __init__(self, schema: Schema, backend: Backend) -> None:
        """Takes a backend that is new, or that holds this schema. Raises StoreFault."""
        self.schema = schema
        self._backend = backend
        self._spaces = set(schema.spaces())
        self._failed: StoreFault | None = None
        self.writes = 0
        """Batches written since it was opened."""
        self._is_synced = True
        """Whether all of them are on stable storage."""
        self._check_schema()

    @classmethod
    def in_memory(cls, schema: Schema) -> Store:
        """A store that ends with the process."""
        return cls(schema, MemoryBackend())

    def snapshot(self) -> Snapshot:
        """Everything as it is now. Raises StoreFault."""
        self._require_sound()
        return self._backend.snapshot()

    def view(self) -> StoreView:
        """Everything as it is now, for whoever needs no other store. Raises StoreFault."""
        snapshot = self.snapshot()
        return StoreView(snapshot, snapshot, ((self, self.writes),))

    def write(self, rows: Rows, sync: bool = False) -> None:
        """All of the rows or none, in one batch; those of tables that another store keeps are passed over.

        The units of a turn share it: each makes rows over those before it, and they are merged. sync, or a durable
        table among them: on stable storage on return, with everything that was written before.
        Raises StoreFault; ValueError for rows over a view from before another write, whose indexes would be wrong.
        """
        self._require_sound()
        if any(store is self and writes != self.writes for store, writes in rows.root.made_at):
            raise ValueError(f"{self.schema.name}: the rows were made over a view from before another write")
        changes = () if rows.is_empty else self._changes(rows)
        if changes:
            self._write(changes, sync or rows.is_durable)
            self.writes += 1
        elif sync and not self._is_synced:
            self._write((), sync=True)

    @property
    def is_failed(self) -> bool:
        """Whether it could not be written, or is closed: it neither reads nor writes any more."""
        return self._failed is not None

    def close(self) -> None:
        """Lets go of the files; what was written stays. Who reads it in another thread has a StoreFault from now on."""
        if self._failed is None:
            self._failed = StoreFault(f"The store {self.schema.name} is closed.")
        self._backend.close()

    def _write(self, changes: Sequence[tuple[bytes, bytes | None]], sync: bool) -> None:
        try:
            self._backend.write(changes, sync)
        except StoreFault as fault:
            self._failed = fault
            self._backend.close()
            raise
        self._is_synced = sync

    def _changes(self, rows: Rows) -> list[tuple[bytes, bytes | None]]:
        changes: list[tuple[bytes, bytes | None]] = []
        for space, values in rows.raw_changes():
            if space in self._spaces:
                prefix = space.prefix
                changes += [(prefix + raw, value) for raw, value in values.items()]
            else:
                self._require_elsewhere(space)
        return changes

    def _require_elsewhere(self, space: Space) -> None:
        """Only tables of the other store may be missing here."""
        if space.is_own is self._is_own:
            raise ValueError(f"{space.name} is not in the schema of {self.schema.name}")

    @property
    def _is_own(self) -> bool:
        return bool(self.schema.tables) and self.schema.tables[0].is_own

    def _require_sound(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _check_schema(self) -> None:
        name, version = self._backend.get(_SCHEMA_NAME), self._backend.get(_SCHEMA_VERSION)
        expected = self.schema.name.encode(), str(self.schema.version).encode()
        if name is None and version is None:
            self._require_empty()
            self._write([(_SCHEMA_NAME, expected[0]), (_SCHEMA_VERSION, expected[1])], sync=True)
        elif name is None or version is None or not version.isdigit():
            raise StoreDamaged(f"The store has no whole record of its schema: {name!r}, {version!r}. {WHAT_TO_DO}")
        elif name != expected[0]:
            raise StoreRefused(f"The store is one of {name.decode(errors='replace')}, expected {self.schema.name}.")
        elif version != expected[1]:
            which = "a newer" if int(version) > self.schema.version else "an older"
            raise StoreRefused(
                f"The store has version {int(version)} of its schema, this program reads version "
                f"{self.schema.version}: it was written by {which} release. Use that release, or begin a new store."
            )

    def _require_empty(self) -> None:
        snapshot = self._backend.snapshot()
        found = next(snapshot.scan(b"", None, False), None)
        snapshot.close()
        if found is not None:
            raise StoreDamaged(f"The store holds rows but no record of its schema. {WHAT_TO_DO}")


def recorded_name(backend: Backend) -> str | None:
    """Of the schema by which a database was written; None where none is recorded. Raises StoreFault."""
    name = backend.get(_SCHEMA_NAME)
    return None if name is None else name.decode(errors="replace")
