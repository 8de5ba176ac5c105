"""A store in LevelDB, to be hurt."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.store import level
from node.store.level import open_store
from node.store.view import Rows

from .tables import NAMES, STATE, VALUES


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed store with tables, a log and rows in all of them."""
    monkeypatch.setattr(level, "WRITE_BUFFER", 1 << 16)
    path = tmp_path / "state"
    rng = random.Random(1)
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
