"""Damaged databases of a PoET server: never another answer, never begun anew in silence, and what can be is saved."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.types.poet import MerkleProof
from prover.errors import DataError, ProofError
from prover.poet.server.records import ProofRecord
from prover.poet.server.salvage import DamagedDatabase, check_all, salvage
from prover.poet.server.store import ProofStore, RoundStore, is_member_row, open_database

PROOFS = 11
MEMBERS = 300


def proof(number: int) -> ProofRecord:
    source = random.Random(number)
    nip = MerkleProof(
        source.randbytes(32), tuple(source.randbytes(32) for _ in range(150)), (source.randbytes(32),) * 300
    )
    return ProofRecord(nip, tuple(source.randbytes(32) for _ in range(20)), 5000 + number, bytes(32), str(number))


@pytest.fixture(scope="module")
def proofs_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven proofs, some in tables and some in the log."""
    path = tmp_path_factory.mktemp("db") / "proofs"
    for number in range(PROOFS):
        store = ProofStore(path)
        store.put(proof(number), current=bytes([number]) * 32)
        store.close()
        if number == 7:
            database, _ = open_database(path)
            database.compact_range()
            database.close()
    return path


@pytest.fixture(scope="module")
def members_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("db") / "5"
    store = RoundStore.create(path)
    for number in range(MEMBERS):
        store.write({number.to_bytes(32, "big"): bytes([number % 256]) * 32})
    store.close()
    return path


def copied(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / source.name))


def file_of(path: Path, pattern: str) -> Path:
    return max(path.glob(pattern), key=lambda file: file.stat().st_size)


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x10
    file.write_bytes(content)


def empty_current(path: Path) -> None:
    (path / "CURRENT").write_bytes(b"")


def no_current(path: Path) -> None:
    (path / "CURRENT").unlink()


def torn_manifest(path: Path) -> None:
    manifest = file_of(path, "MANIFEST-*")
    manifest.write_bytes(manifest.read_bytes()[:30])


def no_manifest(path: Path) -> None:
    file_of(path, "MANIFEST-*").unlink()


def no_table(path: Path) -> None:
    file_of(path, "*.ldb").unlink()


DAMAGES: list[Callable[[Path], None]] = [empty_current, no_current, torn_manifest, no_manifest, no_table]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_never_opened_or_begun_anew(
    tmp_path: Path, proofs_at: Path, damage: Callable[[Path], None]
) -> None:
    path = copied(proofs_at, tmp_path)
    damage(path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(DamagedDatabase, match=r"is damaged: .*smesher poet db repair"):
        ProofStore(path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_proofs_are_set_aside_and_the_server_goes_on(
    tmp_path: Path, proofs_at: Path, damage: Callable[[Path], None]
) -> None:
    path = copied(proofs_at, tmp_path)
    damage(path)
    store = ProofStore.always(path)
    assert "was set aside" in store.salvaged and str(path) in store.salvaged
    saved = store.rounds()
    for number in saved:
        assert store.get(str(number)) == proof(number)
    assert len(saved) == PROOFS or damage is no_table
    store.put(proof(99))
    store.close()
    assert path.with_name("proofs.damaged").is_dir()
    again = ProofStore.always(path)
    assert again.salvaged == "" and again.rounds() == [*saved, 99]
    again.close()


def test_a_whole_store_is_left_alone(tmp_path: Path, proofs_at: Path) -> None:
    path = copied(proofs_at, tmp_path)
    store = ProofStore.always(path)
    assert (store.salvaged, store.rounds()) == ("", list(range(PROOFS)))
    assert store.pow_challenges()[0] == bytes([PROOFS - 1]) * 32
    store.close()
    assert check_all(path).is_whole


def test_no_flipped_bit_is_served(tmp_path: Path, proofs_at: Path) -> None:
    """Each file that holds rows, at many places: the right proof, or a refusal."""
    source = random.Random(1)
    served = refused = 0
    for number in range(60):
        path = tmp_path / str(number)
        shutil.copytree(proofs_at, path)
        file = source.choice([one for one in path.iterdir() if one.suffix in (".ldb", ".log") and one.stat().st_size])
        flip(file, source.randrange(file.stat().st_size))
        try:
            store = ProofStore(path)
        except ProofError:
            refused += 1
            continue
        try:
            for wanted in range(PROOFS):
                found = store.get(str(wanted))
                if found is not None:
                    assert found == proof(wanted), file.name
                    served += 1
                else:
                    assert file.suffix == ".log", f"{file.name}: proof {wanted} vanished"
        except DataError:
            refused += 1
        finally:
            store.close()
    assert refused > 20 and served > 0


def test_flipped_bits_are_found_by_a_full_check_and_saved_around(tmp_path: Path, proofs_at: Path) -> None:
    path = copied(proofs_at, tmp_path)
    table = file_of(path, "*.ldb")
    flip(table, table.stat().st_size // 2)
    report = check_all(path)
    assert not report.is_whole and report.findings[0].file == table.name
    store = ProofStore.always(path)
    saved = store.rounds()
    assert 0 < len(saved) < PROOFS
    assert all(store.get(str(number)) == proof(number) for number in saved)
    store.close()


def test_members_lost_in_the_middle_of_a_log_are_not_lost_in_silence(tmp_path: Path, members_at: Path) -> None:
    path = copied(members_at, tmp_path)
    log = file_of(path, "*.log")
    flip(log, log.stat().st_size // 2)
    with pytest.raises(DamagedDatabase, match=log.name):
        RoundStore.create(path)
    saved = salvage(path, is_member_row)
    assert 0 < saved.rows < MEMBERS and saved.aside.is_dir()
    store = RoundStore.open(path)
    assert store.count() == saved.rows
    store.close()


def test_a_torn_tail_is_the_state_before(tmp_path: Path, members_at: Path) -> None:
    path = copied(members_at, tmp_path)
    log = file_of(path, "*.log")
    log.write_bytes(log.read_bytes()[:-10])
    store = RoundStore.create(path)
    assert store.count() == MEMBERS - 1
    store.close()


@pytest.mark.parametrize("kind", [RoundStore.open, ProofStore])
def test_a_torn_tail_is_left_out_and_told(
    kind: Callable[[Path], RoundStore | ProofStore], members_at: Path, proofs_at: Path, tmp_path: Path
) -> None:
    """What was acknowledged may be among it, where the disk did not keep its word."""
    path = copied(members_at if kind is RoundStore.open else proofs_at, tmp_path)
    whole = kind(path)
    assert whole.torn == ""
    whole.close()
    log = file_of(path, "*.log")
    if not log.stat().st_size:  # all is in tables
        store = RoundStore.open(path) if kind is RoundStore.open else ProofStore(path)
        store._database.write({b"k" * 32: b"v" * 32})
        store.close()
        log = file_of(path, "*.log")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 5)
    store = kind(path)
    assert log.name in store.torn and "was not written whole. The state before counts." in store.torn
    store.close()
    again = kind(path)
    assert again.torn == "", "told once"
    again.close()
