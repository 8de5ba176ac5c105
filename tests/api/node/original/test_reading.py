"""The original's databases are read as they are, and refused by name where something is wrong with them."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.edge.errors import DataError, EnvironmentFault
from api.node.original import schema, shape, writing
from api.node.original.reading import Database
from node.migration import records
from tests.support.original_node import OriginalNode, in_order

TOP = (1 << 64) - 1


def read_all(path: Path, one: shape.Schema, scratch: Path) -> list[Any]:
    kinds = records.STATE if one is schema.STATE else records.LOCAL
    scratch.mkdir(exist_ok=True)
    with Database.opened(path, one, scratch) as database:
        found = [record for kind in kinds for record in database.records(kind)]
        assert len(found) == sum(database.count(kind) for kind in kinds)
    return found


TEXTS = {
    "state.sql": "c2996f75e7eff66bf35de2a9b3f32e1cd7974266ed74dcaffc43365c9d97db82",
    "local.sql": "79b4682bb61ca8bb30b9a5c992eb3452cb0a56be0292eee425860ee88cdad9de",
}
"""SHA-256 of the sorted texts of the original's own databases (versions 25 and 9), without white space."""


@pytest.mark.parametrize("one", [schema.STATE, schema.LOCAL], ids=lambda one: one.file)
def test_the_texts_are_those_that_the_original_compares(one: shape.Schema) -> None:
    texts = sorted("".join(text.split()) for text in one.statements())
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == TEXTS[one.file]


def test_rows_come_back_as_they_were_written(original: OriginalNode, tmp_path: Path) -> None:
    found = read_all(original.path / "state.sql", schema.STATE, tmp_path / "scratch")
    assert Counter(found) == Counter(original.state_records)


def test_the_largest_numbers_and_what_is_not_there(tmp_path: Path) -> None:
    given = in_order(
        [
            records.Account(b"\1" * 24, TOP, TOP, 1, None, None),
            records.Account(b"\1" * 24, 0, 0, 0, b"\2" * 24, b"state"),
            records.Transaction(b"\3" * 32, b"raw", None, None, None, None, None, None, 1),
            records.Transaction(b"\4" * 32, b"", b"header", b"result", 1, b"\5" * 20, b"\6" * 24, TOP, 1),
            records.Block(b"\7" * 20, 1, None, b"block"),
            records.Block(b"\x08" * 20, 1, -1, b"block"),
            records.Block(b"\x09" * 20, 1, 1, b"block"),
            records.Layer(7, None, None, None, None, None),
            records.Recovery(8),
            records.Marriage(b"\x0b" * 32, 1, b"\x0c" * 32, 0, b"\x0d" * 32, bytes(64)),
            records.Malfeasance(b"\x0a" * 32, 1, TOP >> 1, None, None),
            records.Atx(
                b"\x0e" * 32, 1, 1, None, None, 1, TOP, 1, b"\1" * 32, b"\1" * 24, 0, 0, None, None, None, None
            ),
        ]
    )
    path = tmp_path / "state.sql"
    assert writing.write(path, schema.STATE, given) == len(given)
    assert read_all(path, schema.STATE, tmp_path / "scratch") == given


def test_what_is_only_in_the_log_is_read_and_no_file_is_touched(original: OriginalNode, tmp_path: Path) -> None:
    source = original.path / "state.sql"
    running = sqlite3.connect(source)
    with closing(running):
        running.execute("PRAGMA wal_autocheckpoint = 0")
        running.execute("INSERT INTO beacons (epoch, beacon) VALUES (99, x'01020304')")
        running.commit()
        crashed = tmp_path / "crashed"
        shutil.copytree(original.path, crashed)
    before = {path.name: path.read_bytes() for path in crashed.glob("state.sql*")}
    assert set(before) == {"state.sql", "state.sql-wal", "state.sql-shm"}
    found = read_all(crashed / "state.sql", schema.STATE, tmp_path / "scratch")
    assert records.Beacon(99, b"\1\2\3\4") in found
    assert {path.name: path.read_bytes() for path in crashed.glob("state.sql*")} == before


def test_without_a_log_nothing_is_copied(original: OriginalNode, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    before = original.content()
    assert read_all(original.path / "state.sql", schema.STATE, scratch)
    assert original.content() == before and not list(scratch.iterdir())


def _truncate(original: OriginalNode) -> None:
    path = original.path / "state.sql"
    path.write_bytes(path.read_bytes()[: 4096 * 30])


def _scribble(original: OriginalNode) -> None:
    path = original.path / "state.sql"
    data = bytearray(path.read_bytes())
    data[4096 * 40 : 4096 * 41] = b"\x55" * 4096
    path.write_bytes(data)


def sql(*statements: str) -> Callable[[OriginalNode], None]:
    return lambda original: original.change(*statements)


BLOCK = "UPDATE blocks SET id = {} WHERE rowid = 1"
WRONG: dict[str, tuple[Callable[[OriginalNode], None], str]] = {
    "newer": (sql("PRAGMA user_version = 26"), r"has version 26 \(user_version\), expected 25.*newer release"),
    "older": (sql("PRAGMA user_version = 24"), "has version 24.*Start the original of release 1.7.6"),
    "empty": (lambda one: (one.path / "state.sql").write_bytes(b""), "has version 0.*never written to"),
    "not one": (lambda one: (one.path / "state.sql").write_bytes(b"x" * 9000), "is no SQLite database"),
    "missing": (lambda one: (one.path / "state.sql").unlink(), "state.sql is not there"),
    "truncated": (_truncate, "state.sql is damaged"),
    "a page": (_scribble, "state.sql is damaged"),
    "no table": (sql("DROP TABLE beacons"), "has no table beacons"),
    "no column": (sql("ALTER TABLE posts DROP COLUMN units"), "table posts has no column units"),
    "more columns": (sql("ALTER TABLE beacons ADD COLUMN x INT"), "table beacons has a column x that version 25"),
    "null": (
        sql("UPDATE ballots SET ballot = NULL WHERE rowid = 1"),
        "table ballots, column ballot holds NULL, expected bytes",
    ),
    "text": (
        sql("UPDATE accounts SET balance = 'much' WHERE rowid = 1"),
        "table accounts, column balance holds text, expected a number",
    ),
    "fraction": (
        sql("UPDATE rewards SET layer_reward = 1.5 WHERE rowid = 1"),
        "table rewards, column layer_reward holds a float, expected a number",
    ),
    "unpadded": (sql(BLOCK.format(f"x'{'01' * 20}'")), f"table blocks, column id holds {'01' * 20}, expected 20 bytes"),
    "padding": (sql(BLOCK.format(f"x'{'01' * 32}'")), f"table blocks, column id holds {'01' * 32}, expected 20 bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_database_is_named(case: str, original: OriginalNode, tmp_path: Path) -> None:
    damage, expected = WRONG[case]
    damage(original)
    with pytest.raises(DataError, match=expected) as raised:
        read_all(original.path / "state.sql", schema.STATE, tmp_path / "scratch")
    assert str(original.path / "state.sql") in str(raised.value)


def test_a_copy_for_which_there_is_no_room(
    original: OriginalNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (original.path / "state.sql-wal").write_bytes(b"x")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(EnvironmentFault, match="cannot be copied"):
        read_all(original.path / "state.sql", schema.STATE, tmp_path / "scratch")


def test_a_database_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.sql"
    twice = [records.Beacon(1, b"\1\2\3\4"), records.Beacon(1, b"\1\2\3\5")]
    with pytest.raises(DataError, match=r"cannot be made: UNIQUE constraint failed: beacons\.epoch"):
        writing.write(path, schema.STATE, twice)
    assert not list(tmp_path.iterdir())
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        writing.write(tmp_path / "nowhere" / "state.sql", schema.STATE, [])
    path.write_bytes(b"here")
    with pytest.raises(DataError, match="exists already"):
        writing.write(path, schema.STATE, [])
    assert path.read_bytes() == b"here"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("x'01', 5, 1, NULL, NULL", "marriage_id does not exist"),
        ("x'01', NULL, 1, NULL, x'02'", "proof must be provided"),
        ("x'01', NULL, 1, 0, NULL", "proof must be provided"),
    ],
)
def test_rows_that_the_triggers_refuse(row: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "state.sql"
    marriage = records.Marriage(b"\x0b" * 32, 1, b"\x0c" * 32, 0, b"\x0d" * 32, bytes(64))
    writing.write(path, schema.STATE, [marriage])
    with closing(sqlite3.connect(path)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match=expected):
            connection.execute(f"INSERT INTO malfeasance VALUES ({row})")
        connection.execute("INSERT INTO malfeasance VALUES (x'01', 1, 1, NULL, NULL)")
        with pytest.raises(sqlite3.IntegrityError, match="marriage_id does not exist"):
            connection.execute("UPDATE malfeasance SET marriage_id = 7")
