"""A store in LevelDB, to be hurt."""

from __future__ import annotations

from pathlib import Path

import pytest

from .levels import make_whole


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_whole(tmp_path / "state", 1, monkeypatch)
