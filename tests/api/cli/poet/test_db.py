"""`smesher poet db check|repair` on databases that are whole, damaged, or in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.edge.lock import DirectoryLock
from prover.poet.server.store import RoundStore
from tests.support.cli import smesher

MEMBERS = 40


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The directories of a server that was stopped, with one open round."""
    (tmp_path / "data").mkdir()
    store = RoundStore.create(tmp_path / "db" / "rounds" / "7")
    for number in range(MEMBERS):
        store.write({number.to_bytes(32, "big"): bytes(32)})
    store.close()
    return tmp_path


def damage(server: Path) -> Path:
    """A flipped bit in the middle of the log of the open round."""
    (log,) = (server / "db" / "rounds" / "7").glob("*.log")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    return log


def test_whole_databases(server: Path) -> None:
    smesher("poet", "db", "check", "--poetdir", server).ok().refused(0, "1 databases are whole")
    assert smesher("poet", "db", "repair", "--poetdir", server, "--json").ok().last["repaired"] == 0


def test_a_damaged_one_is_named_and_repaired(server: Path) -> None:
    log = damage(server)
    before = log.read_bytes()
    smesher("poet", "db", "check", "--poetdir", server).refused(1, log.name, "checksum", "smesher poet db repair")
    assert log.read_bytes() == before
    result = smesher("poet", "db", "repair", "--poetdir", server, "--json").ok()
    (event,) = result.named("repaired")
    assert event["rows"] == MEMBERS - 1, "one record is lost, those behind it are not"
    assert (Path(event["aside"]) / log.name).read_bytes() == before
    smesher("poet", "db", "check", "--poetdir", server).ok()
    store = RoundStore.open(server / "db" / "rounds" / "7")
    assert store.count() == MEMBERS - 1
    store.close()


def test_not_while_the_server_runs(server: Path) -> None:
    lock = DirectoryLock.take(server / "data" / "smesher-poet.lock", "PoET server")
    try:
        smesher("poet", "db", "check", "--poetdir", server).refused(1, "in use by PoET server")
    finally:
        lock.release()


def test_where_there_is_none(tmp_path: Path) -> None:
    smesher("poet", "db", "check", "--poetdir", tmp_path).refused(2, "no directory")
    (tmp_path / "data").mkdir()
    smesher("poet", "db", "check", "--poetdir", tmp_path).refused(1, "no database")
