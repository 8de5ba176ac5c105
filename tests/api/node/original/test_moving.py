"""From an original node's data to ours and back: nothing lost or touched, nothing half done, nothing signed twice."""

from __future__ import annotations

import fcntl
import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter, namedtuple
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.node import record
from api.node.data_directory import DataDirectory, check_stores
from api.node.original import directory, hand_back, schema, take_over
from api.node.original.hand_back import HandedBack
from api.node.original.take_over import TakenOver
from node.ledger import state
from node.migration import records
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows
from protocol.params.config import networks
from tests.api.node.original.test_reading import read_all
from tests.support.imported_chain import ImportedChain
from tests.support.original_node import OWN_EPOCH, OriginalNode

HOUR = 3600 * 10**9


class Silent:
    """Nobody is told."""

    @contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        yield lambda count: None


def taken(original: OriginalNode, ours: Path, source: Path | None = None, **more: Any) -> TakenOver:
    return take_over.take_over(directory.find(source or original.config, **more), ours, Silent())


def handed(original: OriginalNode, ours: Path, to: Path, now_ns: int | None = None) -> HandedBack:
    there = directory.to_be(to, ours, original.config)
    now = original.chain.parameters.time.genesis_ns + HOUR if now_ns is None else now_ns
    return hand_back.hand_back(DataDirectory(ours), there, now, Silent())


def rows_of(ours: Path, name: str) -> dict[bytes, bytes]:
    store = open_store(ours / name, STATE) if name == STATE.name else open_own_store(ours / name, OWN)
    with closing(store):
        snapshot = store.snapshot()
        found = dict(snapshot.scan(b"", None, False))
        snapshot.close()
    return found


def all_rows(folder: Path, scratch: Path) -> Counter[Any]:
    found = read_all(folder / "state.sql", schema.STATE, scratch)
    return Counter([*found, *read_all(folder / "local.sql", schema.LOCAL, scratch)])


LOCAL = [
    records.InitialPost(b"\1" * 32, 3, b"indices", 4, 5, b"\5" * 32, 6, bytes(32)),
    records.PoetRegistration(b"\1" * 32, b"\7" * 32, "http://a.example", "12", 1_795_403_309),
    records.PoetCertificate(b"\1" * 32, b"\2" * 32, b"certificate", b"signature"),
    records.AtxSyncRequest(3, 1_795_403_300, 4, 4),
    records.MalfeasanceSync(1_795_403_301),
]


def test_there_and_back(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    original.local_records = LOCAL
    original.write()
    before = original.content()
    found = taken(original, ours)
    assert original.content() == before
    assert sum(found.rows.values()) == len(original.state_records) - _derived(original) + len(LOCAL)
    assert found.identities == {"local.key": original.node_id}
    assert found.carried == ("genesis.json", "identities/local.key", "p2p/p2p.key")
    assert (ours / "identities" / "local.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "ours.migrating").exists()

    back = tmp_path / "back"
    done = handed(original, ours, back)
    assert done.backup is None
    assert done.rows == {"state.sql": len(original.state_records), "local.sql": len(LOCAL)}
    assert all_rows(back, tmp_path / "scratch") == Counter([*original.state_records, *LOCAL])
    for name in ("genesis.json", "identities/local.key", "p2p/p2p.key"):
        assert (back / name).read_bytes() == (original.path / name).read_bytes()

    again = tmp_path / "again"
    taken(original, again, back, config_file=original.config, filelock=str(tmp_path / "lock"))
    for name in (STATE.name, OWN.name):
        assert rows_of(again, name) == rows_of(ours, name)


def _derived(original: OriginalNode) -> int:
    return sum(isinstance(one, records.TransactionAddress) for one in original.state_records)


def test_a_node_starts_on_what_was_taken(original: OriginalNode, ours: Path) -> None:
    taken(original, ours)
    data = DataDirectory(ours)
    kept = record.read(data.record)
    assert kept is not None and kept.stores == ("own", "state")
    assert kept.identities == {"local.key": original.node_id.hex()}
    kept.check_layers(record.Record.of(original.chain.config), data.record)
    assert check_stores(data, kept.stores) == []


def test_own_messages_are_noted(original: OriginalNode, ours: Path) -> None:
    found = taken(original, ours)
    assert found.signed == 1
    with closing(open_own_store(ours / OWN.name, OWN)) as store:
        signed = store.signed(Slot(original.node_id, Kind.ATX, OWN_EPOCH))
    assert signed == next(one.atx for one in original.state_records if getattr(one, "pubkey", b"") == original.node_id)


def test_who_holds_a_lock_is_named(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    with original.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"theirs\.lock of the original node is in use by"):
            taken(original, ours)
        assert not ours.exists()
        taken(original, ours, filelock=str(tmp_path / "another"))
        with pytest.raises(DataError, match="in use by"):
            handed(original, ours, tmp_path / "back")
    with closing(open_store(ours / STATE.name, STATE)), pytest.raises(Exception, match="is in use by another process"):
        handed(original, ours, tmp_path / "back")
    with (ours / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="Stop the node that runs there first"):
            handed(original, ours, tmp_path / "back")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who has a file open is asked on Linux alone")
@pytest.mark.parametrize("name", ["state.sql", "local.sql"])
def test_a_database_that_is_open_elsewhere_is_not_moved(name: str, original: OriginalNode, ours: Path) -> None:
    """A node that was told of another lock file."""
    opens = f"import sqlite3, sys; c = sqlite3.connect({str(original.path / name)!r}); "
    opens += "c.execute('SELECT count(*) FROM sqlite_master').fetchone(); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", opens], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"open\n"
        with pytest.raises(DataError, match=rf"{re.escape(name)} is open in process {child.pid}\. Stop the node"):
            taken(original, ours)
        child.communicate(b"")
    assert not ours.exists()
    taken(original, ours)


def test_a_run_that_ends_early_leaves_nothing(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    class Interrupted(Silent):
        @contextmanager
        def step(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
            if what == "rows of local.sql":
                raise KeyboardInterrupt
            yield lambda count: None

    before = original.content()
    with pytest.raises(KeyboardInterrupt):
        take_over.take_over(directory.find(original.config), ours, Interrupted())
    assert original.content() == before and not ours.exists() and not (tmp_path / "ours.migrating").exists()
    (tmp_path / "ours.migrating" / "state").mkdir(parents=True)  # of a run that was killed
    (tmp_path / "ours.migrating" / "state.store").write_text("x")
    taken(original, ours)

    handed(original, ours, back := tmp_path / "back")
    (back / "state.sql.migrating").write_bytes(b"of a run that was killed")
    content = {path.name: path.read_bytes() for path in back.glob("*.sql*") if "migrating" not in path.name}
    with pytest.raises(KeyboardInterrupt):
        there = directory.to_be(back, ours, original.config)
        hand_back.hand_back(DataDirectory(ours), there, 0, Interrupted())
    assert {path.name: path.read_bytes() for path in back.glob("*.sql*")} == content


def test_databases_that_are_there_go_to_a_backup(original: OriginalNode, ours: Path) -> None:
    taken(original, ours)
    wal = original.path / "state.sql-wal"
    wal.write_bytes(b"")
    before = (original.path / "state.sql").read_bytes()
    now = original.chain.parameters.time.genesis_ns + HOUR
    done = handed(original, ours, original.path, now)
    assert done.backup == original.path / f"backup.{now // 10**9}"
    assert {path.name for path in done.backup.iterdir()} == {"state.sql", "state.sql-wal", "local.sql"}
    assert (done.backup / "state.sql").read_bytes() == before
    assert {path.name for path in original.path.glob("*.sql*")} == {"state.sql", "local.sql"}


def test_what_is_signed_and_not_published_stays_with_us(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    taken(original, ours)
    time = original.chain.parameters.time
    now = time.start_ns(60)
    epoch = time.epoch_of(60)
    with closing(open_own_store(ours / OWN.name, OWN)) as store:
        rows = Rows(store.view())
        rows.put(SIGNED, Slot(original.node_id, Kind.HARE, 59, 4), b"hare")
        rows.put(SIGNED, Slot(original.node_id, Kind.ATX, epoch - 1), b"an epoch that is over")
        store.write(rows)
    done = handed(original, ours, tmp_path / "back", now)
    assert done.earliest_ns == time.start_ns(60)
    with closing(open_own_store(ours / OWN.name, OWN)) as store:
        rows = Rows(store.view())
        rows.put(SIGNED, Slot(original.node_id, Kind.ATX, epoch), b"an activation")
        store.write(rows)
    with pytest.raises(DataError, match=f"has signed an activation for epoch {epoch} that is not stored as published"):
        handed(original, ours, tmp_path / "back", now)


@pytest.mark.parametrize("name", ["identities/local.key", "p2p/p2p.key"])
def test_another_key_is_not_written_over(name: str, original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    taken(original, ours)
    there = tmp_path / "back" / name
    there.parent.mkdir(parents=True)
    there.write_text("another")
    with pytest.raises(DataError, match=f"{name} is there and differs"):
        handed(original, ours, tmp_path / "back")
    assert there.read_text() == "another" and not list((tmp_path / "back").glob("*.sql*"))


def test_where_our_data_cannot_be(original: OriginalNode, ours: Path) -> None:
    ours.mkdir()
    (ours / "something").write_text("")
    with pytest.raises(DataError, match=r"ours is not empty \(something\)"):
        taken(original, ours)
    (ours / "something").unlink()
    with pytest.raises(DataError, match=r"lies within .*theirs, which is to stay as it is"):
        taken(original, original.path / "ours")
    with pytest.raises(DataError, match=r"theirs\.json is a file"):
        taken(original, original.config)
    taken(original, ours)


def test_too_little_room_is_told_before_anything_is_written(
    original: OriginalNode, ours: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken(original, tmp_path / "before")
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1 << 20))
    with pytest.raises(EnvironmentFault, match=r"has 1 MiB left, but .* MiB may be needed"):
        taken(original, ours)
    assert not ours.exists()
    with pytest.raises(EnvironmentFault, match="MiB may be needed"):
        handed(original, tmp_path / "before", tmp_path / "back")


def test_a_network_is_known_by_its_genesis(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"which this program does not know, .*'dna'.*--config"):
        directory.find(original.path)
    assert (
        directory.find(original.path, original.config).genesis_id == original.chain.config.genesis.identity.genesis_id
    )
    mainnet = networks.MAINNET
    (original.path / "genesis.json").write_text(mainnet.genesis.identity.file_content())
    assert directory.find(original.path).genesis_id == mainnet.genesis.identity.genesis_id
    with pytest.raises(DataError, match="belongs to another network"):
        directory.find(original.config)
    (original.path / "genesis.json").unlink()
    with pytest.raises(DataError, match=r"genesis\.json is not there"):
        directory.find(original.config)
    for wrong in ({"source": tmp_path / "nowhere"}, {"source": original.config, "config_file": original.config}):
        with pytest.raises(UsageError):
            directory.find(**wrong)
    document = json.loads(original.config.read_text())
    document["main"]["data-folder"] = str(tmp_path / "nowhere")
    original.config.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"main\.data-folder is .*nowhere, which is no directory"):
        directory.find(original.config)


def test_rows_that_contradict_each_other_are_named_with_their_file(original: OriginalNode, ours: Path) -> None:
    original.change("UPDATE accounts SET balance = balance + 1 WHERE layer_updated = 30")
    with pytest.raises(DataError, match=r"state\.sql: layers: layer 30 has the state hash .* Restore it"):
        taken(original, ours)
    assert not ours.exists()


def test_a_key_that_cannot_be_used_is_named(original: OriginalNode, ours: Path) -> None:
    (original.path / "identities" / "local.key").write_text("no key")
    with pytest.raises(DataError, match=r"local\.key cannot be used"):
        taken(original, ours)


def test_an_export_is_the_whole_state(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    taken(original, ours)
    file = tmp_path / "explorer.sql"
    count = hand_back.export(DataDirectory(ours), original.chain.config, file, Silent())
    assert count == len(original.state_records)
    assert Counter(read_all(file, schema.STATE, tmp_path / "scratch")) == Counter(original.state_records)
    with pytest.raises(DataError, match="exists already"):
        hand_back.export(DataDirectory(ours), original.chain.config, file, Silent())
    with pytest.raises(DataError, match="holds no store state"), ExitStack() as held:
        hand_back.open_state(DataDirectory(tmp_path / "nowhere"), held)


def test_data_without_identities(chain: ImportedChain, ours: Path, tmp_path: Path) -> None:
    original = OriginalNode(tmp_path / "theirs", chain, "post0.key")
    shutil.rmtree(original.path / "identities")
    shutil.rmtree(original.path / "p2p")
    found = taken(original, ours)
    assert (found.identities, found.signed, found.carried) == ({}, 0, ("genesis.json",))


@pytest.mark.parametrize("seed", range(8))
def test_damaged_bytes_are_refused_or_change_nothing_that_is_checked(
    seed: int, original: OriginalNode, ours: Path
) -> None:
    """Whatever they are, a person is told a sentence; what is taken has the state hashes of the chain."""
    dice, path = random.Random(seed), original.path / "state.sql"
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice((1, 3, 30))):
        at = dice.randrange(len(data) if dice.random() < 0.7 else 100)
        data[at : at + 8] = dice.randbytes(8)
    path.write_bytes(data)
    try:
        taken(original, ours)
    except DataError as error:
        assert str(path) in str(error) and not ours.exists()
        return
    with closing(open_store(ours / STATE.name, STATE)) as store, closing(store.view()) as view:
        for row in original.chain.document["layers"]:
            expected = None if row["state_hash"] is None else bytes.fromhex(row["state_hash"])
            assert state.state_hash(view, row["layer"]) == expected
