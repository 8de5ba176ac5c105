"""A store in LevelDB cut at every write, killed, and with flipped bits: the state before, or refused by name."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.store.errors import StoreDamaged
from node.store.level import open_store
from node.store.view import Rows
from prover.leveldb_files import check
from prover.leveldb_files.log import BLOCK, read_log
from prover.leveldb_files.table import check_table

from .levels import State, copy_of, ends_of, names_of, opens_as, write
from .tables import BY_REST, NAMES, STATE, VALUES

# ---- cut at every write ----


def test_a_log_cut_at_any_byte_opens_as_the_state_before(tmp_path: Path) -> None:
    path, copy = tmp_path / "state", tmp_path / "copy"
    store = open_store(path, STATE)
    states: list[State] = [{}]
    for number in range(6):
        changed = {(b"a", number): number, (b"z", 0): number}
        write(store, changed)
        states.append(states[-1] | changed)
    store.close()
    (log,) = path.glob("*.log")
    data = log.read_bytes()
    ends = ends_of(data)
    assert len(ends) == 7  # the schema, and six batches
    # every byte of two batches; of the others, as of longer logs below, what is around their ends
    for cut in sorted({*range(ends[-3], len(data) + 1), *(end + by for end in ends[:-3] for by in (-1, 0, 1, 7)), 0}):
        copy_of(path, copy)
        (copy / log.name).write_bytes(data[:cut])
        whole_records = sum(end <= cut for end in ends)
        assert opens_as(copy) == states[max(0, whole_records - 1)]
        if cut in (ends[2] + 7, len(data) - 1):  # and it goes on behind the cut
            store = open_store(copy, STATE)
            write(store, {(b"b", 1): 1})
            store.close()
            assert opens_as(copy) == states[max(0, whole_records - 1)] | {(b"b", 1): 1}


def test_a_log_of_several_blocks_cut_around_every_record_and_block(tmp_path: Path) -> None:
    path, copy = tmp_path / "state", tmp_path / "copy"
    store = open_store(path, STATE)
    rng = random.Random(5)
    for _ in range(40):
        view = store.view()
        rows = Rows(view)
        for _ in range(rng.choice([1, 5, 60])):
            rows.put(NAMES, rng.randbytes(100), None)
        store.write(rows)
        view.close()
    store.close()
    (log,) = path.glob("*.log")
    data = log.read_bytes()
    assert len(data) > 2 * BLOCK
    ends = ends_of(data)
    blocks = range(0, len(data), BLOCK)
    near = {place + by for place in (*ends, *blocks) for by in (-1, 0, 1, 6, 7, 8) if 0 <= place + by <= len(data)}
    for cut in near:  # by our reader, each of them
        found = read_log(log.name, data[:cut])
        assert found.damage is None
        assert len(found.records) == sum(end <= cut for end in ends)
    for cut in rng.sample(sorted(near), 25):  # by LevelDB
        copy_of(path, copy)
        (copy / log.name).write_bytes(data[:cut])
        store = open_store(copy, STATE)
        batches = [int.from_bytes(record[8:12], "little") for record in read_log("", data).records]
        kept = sum(end <= cut for end in ends)
        view = store.view()
        assert len(list(view.keys(NAMES))) == sum(batches[1:kept])
        view.close()
        store.close()


CHILD = """
import sys
from pathlib import Path
from node.store.level import open_store
from node.store.view import Rows
from tests.node.store.tables import STATE, VALUES
store = open_store(Path(sys.argv[1]), STATE)
number = int(sys.argv[2])
while True:
    view = store.view()
    rows = Rows(view)
    for letter in (b"a", b"b", b"c"):
        rows.put(VALUES, (letter, number % 256), number)
    store.write(rows)
    view.close()
    print(number, flush=True)
    number += 1
"""


def test_nothing_that_was_acknowledged_is_lost_to_a_kill(tmp_path: Path) -> None:
    killed_writers(tmp_path / "state", random.Random(3), 4)


def killed_writers(path: Path, rng: random.Random, times: int) -> None:
    """Processes that write into a store, each killed; what they had said was written is there."""
    first = 1
    for _ in range(times):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        wanted = first + rng.randrange(1, 120)
        for line in child.stdout:
            if int(line) >= wanted:
                break
        child.kill()
        rest = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        acknowledged = int(rest[-1]) if rest else wanted
        found = opens_as(path)
        newest = max(found.values())
        assert newest in (acknowledged, acknowledged + 1)
        for letter in (b"a", b"b", b"c"):  # a batch is there whole, or not at all
            assert found[letter, newest % 256] == newest
        first = newest + 1


# ---- flipped bits ----


def _flips(data: bytes, rng: random.Random, step: int, ends: int = 1) -> Iterator[tuple[int, int]]:
    """At least one place of every `step` bytes, and every byte, or every so-manieth, at both ends."""
    for start in range(0, len(data), step):
        yield rng.randrange(start, min(start + step, len(data))), 1 << rng.randrange(8)
    for at in sorted({*range(min(len(data), 32)), *range(max(0, len(data) - 48), len(data))})[::ends]:
        yield at, 1 << rng.randrange(8)


def test_a_flipped_bit_is_an_error_that_names_the_file_or_changes_nothing(whole: Path, tmp_path: Path) -> None:
    copy = copy_of(whole, tmp_path / "copy")
    expected, names = opens_as(copy), names_of(copy)
    rng = random.Random(11)
    refused = same = 0
    for file in sorted(whole.iterdir()):
        if file.name in ("LOCK", "LOG", "LOG.old"):
            continue
        data = file.read_bytes()
        for at, bit in _flips(data, rng, 4096, ends=5):
            copy_of(whole, copy)
            flipped = bytearray(data)
            flipped[at] ^= bit
            (copy / file.name).write_bytes(flipped)
            try:
                assert opens_as(copy) == expected and names_of(copy) == names, f"{file.name}, byte {at}"
                same += 1
            except StoreDamaged as error:
                assert _names(file.name, str(error)), str(error)
                refused += 1
    assert refused > 2 * same  # the padding of footers, and filters, which are done without


def opens_the_same_or_is_refused(path: Path, name: str, expected: tuple[State, list[bytes]]) -> bool:
    """Whether it is refused, then by name; else it must be what it was."""
    try:
        assert (opens_as(path), names_of(path)) == expected
    except StoreDamaged as error:
        assert _names(name, str(error)) or "missing" in str(error), str(error)
        return True
    return False


def test_files_cut_short_or_overwritten_with_zeros_are_refused_or_change_nothing(whole: Path, tmp_path: Path) -> None:
    copy = copy_of(whole, tmp_path / "copy")
    expected = opens_as(copy), names_of(copy)
    rng = random.Random(13)
    refused = 0
    for file in sorted(whole.iterdir()):
        if file.name in ("LOCK", "LOG", "LOG.old"):
            continue
        data = file.read_bytes()
        cuts = [] if file.suffix == ".log" else [rng.randrange(len(data)) for _ in range(4)]  # a log's: see above
        if file.name.startswith("MANIFEST-"):
            ends = ends_of(data)
            cuts += [*ends[:-1], *(end - 1 for end in ends), 0]
        for cut in cuts:
            copy_of(whole, copy)
            (copy / file.name).write_bytes(data[:cut])
            refused += opens_the_same_or_is_refused(copy, file.name, expected)
        for at in (rng.randrange(len(data)), max(0, len(data) - 100)):
            copy_of(whole, copy)
            (copy / file.name).write_bytes(data[:at] + bytes(min(4096, len(data) - at)) + data[at + 4096 :])
            refused += opens_the_same_or_is_refused(copy, file.name, expected)
    assert refused > 20


def _names(file: str, text: str) -> bool:
    # CURRENT that names another manifest is met where that one is missing
    return file in text or (file == "CURRENT" and "MANIFEST-" in text)


def test_every_flipped_bit_is_found_by_the_check(whole: Path, tmp_path: Path) -> None:
    rng = random.Random(12)
    copy = copy_of(whole, tmp_path / "copy")
    assert check.full(copy).is_whole
    padding = _log_padding(whole)
    missed = []
    for file in sorted(whole.iterdir()):
        if file.name in ("LOCK", "LOG", "LOG.old"):
            continue
        data = file.read_bytes()
        for at, bit in _flips(data, rng, 64):
            flipped = bytearray(data)
            flipped[at] ^= bit
            if (file.name, at) in padding:
                continue
            if file.name != "CURRENT" and not _is_found(file.name, bytes(flipped)):
                missed.append((file.name, at, bit))
            if file.name == "CURRENT" or rng.randrange(30) == 0:  # and by the check of the whole folder
                (copy / file.name).write_bytes(flipped)
                assert any(_names(file.name, str(finding)) for finding in check.full(copy).findings)
        (copy / file.name).write_bytes(data)
    assert not missed


def _is_found(name: str, data: bytes) -> bool:
    return bool(check_table(name, data)) if name.endswith(".ldb") else read_log(name, data).damage is not None


def _log_padding(path: Path) -> set[tuple[str, int]]:
    """Bytes at the ends of blocks that nobody reads."""
    places = set()
    for file in (*path.glob("*.log"), *path.glob("MANIFEST-*")):
        data = file.read_bytes()
        at = 0
        while at < len(data):
            room = BLOCK - at % BLOCK
            if room < 7:
                places |= {(file.name, at + by) for by in range(room)}
                at += room
            else:
                at += 7 + int.from_bytes(data[at + 4 : at + 6], "little")
    return places


def test_a_damaged_table_is_named_by_the_read_that_meets_it(whole: Path) -> None:
    table = max(whole.glob("*.ldb"), key=lambda file: file.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    store = open_store(whole, STATE)
    view = store.view()
    with pytest.raises(StoreDamaged, match=rf"{table.name} at byte \d+: a block of rows: its checksum is wrong"):
        list(view.keys(NAMES))
    view.close()
    store.close()


def test_a_row_that_nobody_wrote_is_damage_not_a_bad_message(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    store._backend.write([(VALUES.prefix + b"a\1", b"\xff\xff\xff"), (BY_REST.prefix + b"\0\1b\2", b"")], sync=False)
    view = store.view()
    with pytest.raises(StoreDamaged, match="key 6101 of values cannot be read"):
        view.get(VALUES, (b"a", 1))
    with pytest.raises(StoreDamaged, match="leads to key 6202 of values, which has no row"):
        list(view.find_rows(BY_REST))
    view.close()
    store.close()
