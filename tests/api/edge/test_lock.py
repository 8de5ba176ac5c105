"""The lock of a data directory: never through what others have put in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.edge.errors import DataError, UsageError
from api.edge.lock import DirectoryLock


def test_one_holder_who_is_named(tmp_path: Path) -> None:
    held = DirectoryLock.take(tmp_path / "lock", "first\x1b[31m")
    with pytest.raises(DataError, match=rf"in use by first\\x1b\[31m, process {os.getpid()}"):
        DirectoryLock.take(tmp_path / "lock", "second")
    held.release()
    DirectoryLock.take(tmp_path / "lock", "second").release()


def test_links_and_other_entries_are_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "made")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, words in (
        ("link", "is a link"),
        ("dangling", "is a link"),
        ("folder", "is a directory"),
        ("fifo", "is a FIFO"),
    ):
        with pytest.raises(UsageError, match=words):
            DirectoryLock.take(tmp_path / name, "server")
    assert target.read_text() == "keep" and not (tmp_path / "made").exists()
