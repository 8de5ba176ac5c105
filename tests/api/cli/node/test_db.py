"""`smesher db check`: what is whole, what is damaged, what is no store, and the exit codes."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from api.cli.main import main
from node.contract.owed import OWED, Owed
from node.schema import OWN, STATE
from node.store.level import marker_of, open_own_store, open_store
from node.store.own import SIGNED, Kind, Slot, sign_once
from node.store.view import Rows
from protocol.types.ids import NodeId
from prover import leveldb

SLOT = Slot(NodeId(b"\1" * 32), Kind.ATX, 5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a node with a row in each store."""
    state = open_store(tmp_path / "state", STATE)
    rows = Rows(state.view())
    rows.put(OWED, ("builder", b"h" * 32), Owed("ax1", b"m", None, 7))
    state.write(rows)
    state.close()
    own = open_own_store(tmp_path / "own", OWN)
    rows = Rows(own.view())
    sign_once(rows, SLOT, b"signed")
    own.write(rows)
    own.close()
    return tmp_path


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one for one in said if one["event"] != "progress"]


def test_stores_that_are_whole(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "check", str(data), "--json"]) == 0
    own, state, done = events(capsys)
    assert own["path"] == str(data / "own") and own["tables"] == {"own signatures": 1} and own["whole"]
    assert state["tables"] == {"owed messages": 1} and state["bytes"]
    assert done == {"event": "done", "whole": True, "stores": 2}
    assert main(["db", "check", str(data / "own")]) == 0
    assert "1 rows are whole" in capsys.readouterr().out


def test_a_damaged_file_is_named_and_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log,) = (data / "own").glob("*.log")
    before = bytearray(log.read_bytes())
    before[20] ^= 4
    log.write_bytes(before)
    assert main(["db", "check", str(data), "--json"]) == 1
    said = events(capsys)
    (fault,) = [one for one in said if one["event"] == "fault"]
    assert fault["store"] == str(data / "own")
    assert str(fault["text"]).startswith(f"{log.name} at byte 0: the checksum of a record is wrong")
    assert [one["whole"] for one in said if one["event"] == "store"] == [False, True]
    assert log.read_bytes() == before
    assert main(["db", "check", str(data)]) == 1
    assert "next: restore" in capsys.readouterr().out


def test_rows_that_nobody_wrote_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = open_own_store(data / "own", OWN)
    key = SIGNED.prefix + SIGNED.key.encode(SLOT)
    own._backend.write([(b"zz1", b""), (key[:-9] + b"\x63" + key[-8:], b""), (key[:-1], b"")], sync=False)
    own.close()
    state = open_store(data / "state", STATE)
    row = OWED.prefix + OWED.key.encode(("builder", b"h" * 32))
    stored = state._backend.get(row)
    assert stored is not None
    state._backend.write([(row, stored + b"\0")], sync=False)
    state.close()
    assert main(["db", "check", str(data), "--json"]) == 1
    texts = [str(one["text"]) for one in events(capsys) if one["event"] == "fault"]
    assert [sum(word in text for text in texts) for word in ("no table of own", "own signatures", "owed messages")] == [
        1,
        2,
        1,
    ]


def test_a_store_that_is_missing_although_it_existed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (data / "own").iterdir():
        file.unlink()
    (data / "own").rmdir()
    assert main(["db", "check", str(data), "--json"]) == 1
    assert "is missing, although own.store says that it existed" in str(events(capsys)[0]["text"])


def test_a_torn_tail_is_worth_a_note(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log,) = (data / "own").glob("*.log")
    log.write_bytes(log.read_bytes()[:-3])
    assert main(["db", "check", str(data / "own"), "--json"]) == 0
    note, store, _ = events(capsys)
    assert "a write was cut off; the state before it counts" in str(note["message"])
    assert store["rows"] == 0


def test_a_store_in_use_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = open_own_store(data / "own", OWN)
    assert main(["db", "check", str(data), "--json"]) == 1
    assert "in use by another process" in str(events(capsys)[-1]["message"])
    own.close()


def test_a_store_of_another_release_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = open_own_store(data / "own", OWN)
    own._backend.write([(b"\0v", b"77")], sync=True)
    own.close()
    assert main(["db", "check", str(data / "own"), "--json"]) == 1
    assert "version 77 of its schema" in str(events(capsys)[0]["text"])
    own_backend = leveldb.DB(str(data / "own"))
    own_backend.put(b"\0n", b"strange")
    own_backend.close()
    assert main(["db", "check", str(data / "own"), "--json"]) == 1
    assert "records no schema that this program knows" in str(events(capsys)[0]["text"])


def test_a_database_of_another_program_has_its_files_checked(tmp_path: Path) -> None:
    handle = leveldb.DB(str(tmp_path / "proofs"), create_if_missing=True)
    handle.put(b"a", b"b")
    handle.close()
    assert main(["db", "check", str(tmp_path / "proofs")]) == 0
    assert not marker_of(tmp_path / "proofs").exists()
    (tmp_path / "proofs" / "CURRENT").unlink()
    assert main(["db", "check", str(tmp_path / "proofs")]) == 1


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_where_there_is_no_store(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["db", "check", str(tmp_path / name)]) == 2
    assert "holds no store of a node and no database" in capsys.readouterr().err


def test_a_disk_that_does_not_answer(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert main(["db", "check", str(data)]) == 3
    assert "Input/output error" in capsys.readouterr().err


def test_a_backup_is_a_store_that_is_whole(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "backup", str(data), str(data / "copy"), "--json"]) == 0
    assert events(capsys) == [{"event": "done", "path": str(data / "copy"), "rows": 3}]
    assert main(["db", "check", str(data / "copy")]) == 0
    copy = open_own_store(data / "copy", OWN)
    assert copy.signed(SLOT) == b"signed"
    copy.close()
    assert main(["db", "backup", str(data), str(data / "copy")]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["db", "backup", str(data / "absent"), str(data / "copy 2")]) == 2
    assert not (data / "absent").exists()
    assert main(["db", "backup", str(data), "/dev/null/copy"]) == 3


def test_no_backup_is_made_of_a_damaged_store(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "own" / "CURRENT").unlink()
    assert main(["db", "backup", str(data), str(data / "copy")]) == 1
    assert "CURRENT: this file is missing" in capsys.readouterr().err.replace("\n", " ")
    assert not (data / "copy").exists()
