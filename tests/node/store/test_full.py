"""A disk without room: told apart from one that is broken, nothing half written, and as before when there is room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from node.store.errors import StoreFault, StoreFull
from node.store.level import LevelBackend, open_store
from prover import durable, leveldb

from .levels import opens_as, read, write
from .tables import STATE


class Full:
    """A database whose next batch finds no room."""

    def __init__(self, database: Any, text: str) -> None:
        self._database, self._text = database, text

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write_batch(self, **options: Any) -> Any:
        """As a database does."""
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """As a batch does."""

    delete = put

    def write(self) -> None:
        """As a batch does."""
        raise leveldb.IOError(f"IO error: 000003.log: {self._text}".encode())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("No space left on device", StoreFull),
        ("Disk quota exceeded", StoreFull),
        ("Input/output error", StoreFault),
    ],
)
def test_a_batch_that_finds_no_room_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: type[StoreFault]
) -> None:
    store = open_store(tmp_path / "state", STATE)
    write(store, {(b"a", 1): 1})
    backend = store._backend
    assert isinstance(backend, LevelBackend)
    monkeypatch.setattr(backend, "_database", Full(backend._database, text))
    with pytest.raises(StoreFault) as fault:
        write(store, {(b"b", 1): 1})
    assert type(fault.value) is kind
    assert store.is_failed
    with pytest.raises(StoreFault):
        store.view()
    assert opens_as(tmp_path / "state") == {(b"a", 1): 1}


def test_a_sync_that_finds_no_room_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "state", STATE)
    backend = store._backend
    assert isinstance(backend, LevelBackend)
    backend._synced_log = ""

    def fail(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(durable, "sync_directory", fail)
    with pytest.raises(StoreFull):
        write(store, {(b"a", 1): 1}, sync=True)
    assert store.is_failed


def test_who_reads_a_store_that_was_closed_has_a_fault(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    store.close()
    store.close()
    with pytest.raises(StoreFault, match="closed"):
        store.view()
    with pytest.raises(StoreFault, match="closed"):
        store.snapshot()


def test_a_sync_without_rows_syncs_what_was_written_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "state", STATE)
    backend = store._backend
    assert isinstance(backend, LevelBackend)
    synced: list[bool] = []
    before = backend.write

    def note(changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        synced.append(sync)
        before(changes, sync)

    monkeypatch.setattr(backend, "write", note)
    write(store, {}, sync=True)
    assert synced == []  # nothing was written since it was opened
    write(store, {(b"a", 1): 1})
    write(store, {}, sync=True)
    write(store, {}, sync=True)
    assert synced == [False, True]
    assert read(store) == {(b"a", 1): 1}
    store.close()
