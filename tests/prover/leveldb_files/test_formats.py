"""Logs, manifests and tables of LevelDB, read by ourselves: what is torn, what is damaged, what is whole."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.crc32c import crc32c
from prover import leveldb
from prover.leveldb_files import check
from prover.leveldb_files.findings import number
from prover.leveldb_files.log import BLOCK, HEADER, read_log
from prover.leveldb_files.manifest import read_manifest
from prover.leveldb_files.table import check_table, snappy


def masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def log_of(records: list[bytes]) -> bytes:
    """A log as LevelDB writes it; each record in one piece for each block that it touches."""
    data = bytearray()
    for record in records:
        rest, first = record, True
        while True:
            room = BLOCK - len(data) % BLOCK
            if room < HEADER.size:
                data += bytes(room)
                continue
            piece, rest = rest[: room - HEADER.size], rest[room - HEADER.size :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            data += HEADER.pack(masked(crc32c(bytes((kind,)), piece)), len(piece), kind) + piece
            first = False
            if not rest:
                break
    return bytes(data)


sizes = st.lists(st.one_of(st.integers(0, 40), st.integers(BLOCK - 60, BLOCK + 60), st.just(3 * BLOCK)), max_size=5)


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 1000), st.data())
def test_a_log_is_read_as_far_as_it_is_whole(sizes: list[int], seed: int, data: st.DataObject) -> None:
    rng = random.Random(seed)
    records = [rng.randbytes(size) for size in sizes]
    whole = log_of(records)
    log = read_log("x", whole)
    assert (log.records, log.torn_at, log.damage) == (records, None, None)
    cut = data.draw(st.integers(0, len(whole)))
    torn = read_log("x", whole[:cut])
    ends = [len(log_of(records[: count + 1])) for count in range(len(records))]
    assert torn.damage is None and torn.records == [one for one, end in zip(records, ends) if end <= cut]
    assert torn.torn_at is None or torn.torn_at <= cut


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.randoms(use_true_random=False), st.data())
def test_any_flipped_bit_in_a_log_is_damage(sizes: list[int], rng: random.Random, data: st.DataObject) -> None:
    whole = bytearray(log_of([rng.randbytes(size) for size in sizes]))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    found = read_log("x", bytes(whole))
    assert found.damage is not None and found.torn_at is None


def test_a_length_that_was_changed_at_the_end_is_not_taken_for_a_torn_tail() -> None:
    whole = bytearray(log_of([b"a" * 50, b"b" * 50]))
    whole[57 + 5] ^= 1  # the second record would be 256 bytes longer, which the file does not have
    damage = read_log("x", bytes(whole)).damage
    assert damage is not None and str(damage) == (
        "x at byte 57: a record says that it has 306 bytes, but its checksum is that of 50"
    )
    assert read_log("x", log_of([b"a" * 50, b"b" * 306])[: 57 + 57]).torn_at == 57


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (log_of([b"a"]) + bytes(100), "zeros to the end of the file, 100 bytes"),
        (log_of([b"a"]) + b"\1" * 300, "the checksum of a record is wrong; 300 bytes from there on cannot be read"),
        (log_of([b"a"])[:6] + b"\5" + b"a", "no record: type 5"),
        (HEADER.pack(masked(crc32c(b"\2a")), 1, 2) + b"a" + log_of([b"b"]), "a record has no end, and others follow"),
        (HEADER.pack(masked(crc32c(b"\4a")), 1, 4) + b"a", "a record has no beginning"),
    ],
)
def test_what_no_torn_tail_looks_like_is_damage(data: bytes, text: str) -> None:
    damage = read_log("x", data).damage
    assert damage is not None
    assert text in str(damage)


def test_numbers_that_are_cut_short_or_too_long_are_refused() -> None:
    assert number(b"\xac\x02", 0) == (300, 2)
    for data in (b"", b"\x80", b"\x80" * 11):
        with pytest.raises(ValueError, match="cut short or too long"):
            number(data, 0)


def test_an_edit_that_is_none_is_refused() -> None:
    for record, text in ((b"\x08", "unknown tag 8"), (b"\x01\x09ab", "cut short")):
        with pytest.raises(ValueError, match=text):
            read_manifest([record])


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        (b"\x05\x10abcde", b"abcde"),
        (b"\x0a\x04ab\x1e\x02\x00", b"ababababab"),  # a copy with a two-byte offset that overlaps itself
        (b"\x06\x04ab\x01\x02", b"ababab"),
        (b"\x48\xf0\x3f" + bytes(64) + b"\x1f\x40\0\0\0", bytes(72)),
    ],
)
def test_compressed_blocks_are_read(compressed: bytes, plain: bytes) -> None:
    assert snappy(compressed) == plain


@pytest.mark.parametrize("compressed", [b"\x05\x10abcd", b"\x04\x04ab\x1e\x09\x00", b"\x02\x01\x00"])
def test_blocks_that_are_not_compressed_are_refused(compressed: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes were compressed|before the beginning"):
        snappy(compressed)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with several tables, some of them compressed, and a log."""
    path = tmp_path / "db"
    for last in (4000, 4010):
        handle = leveldb.DB(str(path), create_if_missing=True, write_buffer_size=1 << 16, bloom_filter_bits=10)
        for row in range(last - 10 if last > 4000 else 0, last):
            handle.put(b"key %08d" % row, b"value " * 9 + b"%d" % row)
        handle.close()
    return path


def test_a_database_is_whole_and_all_of_it_is_read(database: Path) -> None:
    counted: list[int] = []
    report = check.full(database, counted.append)
    assert report.is_whole and not report.torn
    assert sum(counted) == report.read_bytes
    assert report.files >= 6
    live = read_manifest(read_log("", next(database.glob("MANIFEST-*")).read_bytes()).records).tables
    assert len(live) > 2 and report.read_bytes >= sum(live.values())
    assert check.size_of(database) >= report.read_bytes
    quick = check.quick(database)
    assert quick.is_whole and quick.read_bytes < report.read_bytes


def test_a_table_whose_blocks_leave_gaps_is_not_whole(database: Path) -> None:
    table = next(database.glob("*.ldb")).read_bytes()
    assert check_table("x", table) == []
    assert "belong to no block" in str(check_table("x", table[:-48] + b"gap" + table[-48:])[0])
    assert "too few for a table" in str(check_table("x", table[:30])[0])
    assert "the footer ends with" in str(check_table("x", table[:-1])[0])


def test_a_log_behind_one_that_is_cut_short_is_damage(database: Path) -> None:
    (log,) = database.glob("*.log")
    data = log.read_bytes()
    first = int.from_bytes(read_log("", data).records[0][:8], "little")
    later = log.with_name(f"{int(log.stem) + 5:06}.log")
    row = b"\0\0\0\0" + b"\1\3abc\3def"
    later.write_bytes(log_of([(first + 10).to_bytes(8, "little") + b"\1" + row[1:]]))
    assert check.quick(database).is_whole
    log.write_bytes(data[:-5])
    assert "a later log goes on behind it" in str(check.quick(database).findings[0])
    log.write_bytes(data)
    later.write_bytes(log_of([(first + 12).to_bytes(8, "little") + b"\1" + row[1:]]))
    assert f"number {first + 10} is missing" in str(check.quick(database).findings[0])


def test_a_folder_with_a_database_that_is_half_made_holds_none(tmp_path: Path) -> None:
    assert not check.exists(tmp_path / "absent")
    (tmp_path / "MANIFEST-000001").touch()
    (tmp_path / "LOCK").touch()
    assert not check.exists(tmp_path)
    (tmp_path / "000003.log").touch()
    assert check.exists(tmp_path)
    assert "CURRENT: this file is missing" in str(check.quick(tmp_path).findings[0])


def test_what_is_no_plain_file_is_not_opened(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = next(database.glob("MANIFEST-*"))
    elsewhere = manifest.rename(database.parent / "elsewhere")
    manifest.symlink_to(elsewhere)
    assert f"{manifest.name}: this is not a file but a link" in str(check.quick(database).findings[0])
    manifest.unlink()
    os.mkfifo(manifest)
    assert f"{manifest.name}: this is not a file but a link" in str(check.quick(database).findings[0])
    manifest.unlink()
    elsewhere.rename(manifest)
    monkeypatch.setattr(check, "MAX_FILE_BYTES", 100)
    assert f"{manifest.name}: it has" in str(check.quick(database).findings[0])
