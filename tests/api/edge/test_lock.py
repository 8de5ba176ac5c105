"""The lock of a data directory: never through what others have put in its place."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.edge import lock
from api.edge.errors import DataError, EnvironmentFault, UsageError
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


def test_a_lock_that_the_system_cannot_give_is_not_one_that_somebody_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EnvironmentFault, match=r"lock could not be locked: No locks available"):
        DirectoryLock.take(tmp_path / "lock", "first")


def test_files_are_locked_in_one_place() -> None:
    root = Path(__file__).resolve().parents[3]
    floors = (root / floor for floor in ("api", "node", "prover", "protocol", "kernels"))
    found = [file for floor in floors for file in floor.rglob("*.py") if "fcntl" in file.read_text()]
    names = {file.relative_to(root).as_posix(): file.read_text() for file in found}
    asks = names.pop("api/node/original/in_use.py")  # who holds a lock of the original's; it locks nothing itself
    assert "F_GETLK" in asks and not {"SETLK", "flock", "lockf"} & set(re.findall(r"SETLK|flock|lockf", asks))
    assert list(names) == ["prover/durable.py"]


@pytest.mark.skipif(not lock.LOCKS.exists(), reason="this system does not say who holds a file")
def test_another_program_that_holds_it_is_named_by_its_process(tmp_path: Path) -> None:
    """What a former holder wrote is not taken for the name of this one."""
    path = tmp_path / "lock"
    DirectoryLock.take(path, "smesher node").release()
    holds = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=rf"^the data is in use by [^,]+, process {other.pid}\. Stop it first\.$"):
            DirectoryLock.take(path, "smesher node", subject="the data", advice="Stop it first.")
        other.communicate("\n")
    DirectoryLock.take(path, "smesher node").release()
