"""What the tests of stores in LevelDB share: writing, reading, copying, and where a log's records end."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from node.store import level
from node.store.level import marker_of, open_store
from node.store.store import Store
from node.store.view import Rows
from prover.leveldb_files.log import BLOCK, HEADER

from .tables import BY_REST, NAMES, STATE, VALUES

State = dict[tuple[bytes, int], int]


def write(store: Store, values: State, sync: bool = False) -> None:
    view = store.view()
    rows = Rows(view)
    for key, value in values.items():
        rows.put(VALUES, key, value)
    store.write(rows, sync)
    view.close()


def read(store: Store) -> State:
    view = store.view()
    try:
        found = dict(view.scan(VALUES))
        assert sorted(view.find(BY_REST)) == sorted(
            (rest, key) for key, value in found.items() if value for rest in {value % 5, value % 7}
        )
        return found
    finally:
        view.close()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def copy_of(path: Path, to: Path) -> Path:
    """A copy of a store, in place of an earlier copy."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(path, to)
    shutil.copy(marker_of(path), marker_of(to))
    return to


def make_whole(path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed store with tables, a log and rows in all of them."""
    monkeypatch.setattr(level, "WRITE_BUFFER", 1 << 16)
    rng = random.Random(seed)
    for first, last in ((0, 300), (300, 320)):  # opened again, it has no tables left that nothing leads to
        store = open_store(path, STATE)
        for number in range(first, last):
            rows = Rows(store.view())
            rows.put(VALUES, (b"%c" % (number % 3), number % 256), number)
            for _ in range(4):
                rows.put(NAMES, rng.randbytes(60), None)
            store.write(rows)
        store.close()
    assert any(path.glob("*.ldb")) and any(path.glob("*.log"))
    return path


def opens_as(path: Path) -> State:
    store = open_store(path, STATE)
    try:
        return read(store)
    finally:
        store.close()


def names_of(path: Path) -> list[bytes]:
    store = open_store(path, STATE)
    view = store.view()
    try:
        return list(view.keys(NAMES))
    finally:
        view.close()
        store.close()


def ends_of(data: bytes) -> list[int]:
    """Where the records of a log end that is whole."""
    ends, at = [], 0
    while at < len(data):
        room = BLOCK - at % BLOCK
        if room < HEADER.size:
            at += room
            continue
        _, length, kind = HEADER.unpack_from(data, at)
        at += HEADER.size + length
        if kind in (1, 4):  # whole, or the last piece
            ends.append(at)
    return ends
