"""LevelDB as the databases need it, whichever of its bindings is installed on this platform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prover import leveldb

ROOT = Path(__file__).resolve().parents[2]

WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
"""The beginning of a program for which some modules are not installed."""


def rows(database: leveldb.DB) -> list[tuple[bytes, bytes]]:
    with database.iterator() as iterator:
        return list(iterator)


def test_what_is_written_is_there_after_opening_again_in_the_order_of_the_keys(tmp_path: Path) -> None:
    database = leveldb.DB(str(tmp_path / "db"), create_if_missing=True, write_buffer_size=1 << 20)
    with database.write_batch(sync=True) as batch:
        for number in (3, 1, 2):
            batch.put(bytes([number]), b"value %d" % number)
        batch.delete(b"\x02")
    database.close()

    again = leveldb.DB(str(tmp_path / "db"), create_if_missing=False, paranoid_checks=True)
    assert rows(again) == [(b"\x01", b"value 1"), (b"\x03", b"value 3")]
    assert again.get(b"\x02") is None
    assert again.get(b"\x03", verify_checksums=True) == b"value 3"
    with again.iterator(start=b"\x02", include_value=False) as keys:
        assert list(keys) == [b"\x03"]
    with again.iterator(reverse=True, include_key=False, verify_checksums=True) as values:
        assert list(values) == [b"value 3", b"value 1"]
    with again.snapshot() as before:
        again.put(b"\x04", b"later")
        assert before.get(b"\x04") is None
    again.close()


def test_a_batch_that_an_error_ends_writes_nothing(tmp_path: Path) -> None:
    database = leveldb.DB(str(tmp_path / "db"), create_if_missing=True)
    with pytest.raises(ZeroDivisionError), database.write_batch(transaction=True, sync=True) as batch:
        batch.put(b"a", b"1")
        _ = 1 // 0
    assert rows(database) == []
    database.close()


def test_a_database_that_is_open_elsewhere_is_an_io_error_that_speaks_of_the_lock(tmp_path: Path) -> None:
    database = leveldb.DB(str(tmp_path / "db"), create_if_missing=True)
    with pytest.raises(leveldb.IOError, match="lock"):
        leveldb.DB(str(tmp_path / "db"))
    database.close()


def test_an_absent_database_and_a_damaged_one_are_errors_of_leveldb(tmp_path: Path) -> None:
    with pytest.raises(leveldb.Error, match="does not exist"):
        leveldb.DB(str(tmp_path / "none"), create_if_missing=False)

    path = tmp_path / "db"
    database = leveldb.DB(str(path), create_if_missing=True)
    database.put(b"key", b"value" * 100)
    database.compact_range()
    database.close()
    (table,) = [file for file in path.iterdir() if file.suffix in (".ldb", ".sst")]
    content = bytearray(table.read_bytes())
    content[3] ^= 1
    table.write_bytes(content)
    damaged = leveldb.DB(str(path), paranoid_checks=True)
    with pytest.raises(leveldb.CorruptionError, match="checksum"):
        damaged.get(b"key", verify_checksums=True)
    damaged.close()


def test_the_kinds_of_error_are_kinds_of_one() -> None:
    assert issubclass(leveldb.IOError, leveldb.Error)
    assert issubclass(leveldb.CorruptionError, leveldb.Error)


def test_a_closed_database_refuses_work(tmp_path: Path) -> None:
    database = leveldb.DB(str(tmp_path / "db"), create_if_missing=True)
    database.close()
    with pytest.raises(RuntimeError, match="closed"):
        database.get(b"key")


def test_without_any_binding_a_command_that_needs_one_says_so_in_a_sentence(tmp_path: Path) -> None:
    program = WITHOUT.format(names=("plyvel", "plyvel_next")) + (
        "from api.cli.main import main\nsys.exit(main(['poet', 'status', '--poetdir', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert "LevelDB, which keeps the databases, cannot be loaded (No module named 'plyvel')" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_fork_with_another_name_is_found_where_the_original_is_not(tmp_path: Path) -> None:
    names = "DB", "CorruptionError", "Error", "IOError", "repair_db"
    (tmp_path / "plyvel_next.py").write_text("\n".join(f"{name} = 'the fork: {name}'" for name in names))
    program = WITHOUT.format(names=("plyvel",)) + (
        "sys.path.insert(0, sys.argv[1])\nfrom prover import leveldb\nprint(leveldb.DB, leveldb.repair_db)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "the fork: DB the fork: repair_db\n", done.stderr
