"""A store in LevelDB: what is opened, what is refused, and what was written before a fault."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.errors import NodeError
from node.store import level
from node.store.errors import StoreDamaged, StoreFault, StoreRefused
from node.store.keys import u8
from node.store.level import marker_of, open_store
from node.store.store import Store
from node.store.table import MARKER, Schema, Table
from node.store.view import Rows
from prover.leveldb_files import check
from prover.leveldb_files.log import BLOCK, read_log

from .tables import BY_REST, DURABLE, NAMES, STATE, VALUES

State = dict[tuple[bytes, int], int]


def write(store: Store, values: State, sync: bool = False) -> None:
    view = store.view()
    rows = Rows(view)
    for key, value in values.items():
        rows.put(VALUES, key, value)
    store.write(rows, sync)
    view.close()


def read(store: Store) -> State:
    view = store.view()
    try:
        found = dict(view.scan(VALUES))
        assert sorted(view.find(BY_REST)) == sorted(
            (rest, key) for key, value in found.items() if value for rest in {value % 5, value % 7}
        )
        return found
    finally:
        view.close()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def copy_of(path: Path, to: Path) -> Path:
    """A copy of a store, in place of an earlier copy."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(path, to)
    shutil.copy(marker_of(path), marker_of(to))
    return to


def opens_as(path: Path) -> State:
    store = open_store(path, STATE)
    try:
        return read(store)
    finally:
        store.close()


# ---- what is there is found again ----


def test_what_was_written_is_there_after_it_was_closed(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    write(store, {(b"a", 1): 7})
    store.close()
    store.close()
    assert opens_as(tmp_path / "state") == {(b"a", 1): 7}


def test_units_of_a_turn_share_one_write(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    view = store.view()
    turn = Rows(view)
    for number in range(3):
        unit = Rows(turn)
        unit.put(VALUES, (b"a", number), number)
        unit.put(VALUES, (b"z", 0), number)
        turn.merge(unit)
    store.write(turn)
    store.close()
    logs = [read_log(file.name, file.read_bytes()) for file in (tmp_path / "state").glob("*.log")]
    assert [len(log.records) for log in logs] == [2]  # the schema, and the turn
    assert opens_as(tmp_path / "state")[b"z", 0] == 2


def test_a_store_that_is_held_is_refused_here_and_in_another_process(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    with pytest.raises(StoreRefused, match="in use by another process"):
        open_store(tmp_path / "state", STATE)
    child = (
        "import sys; from pathlib import Path; from tests.node.store.tables import STATE\n"
        "from node.store.level import open_store\n"
        "try: open_store(Path(sys.argv[1]), STATE)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", child, str(tmp_path / "state")], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("StoreRefused") and "in use by another process" in answer.stdout
    store.close()
    assert opens_as(tmp_path / "state") == {}


def test_a_database_that_another_program_holds_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    marker_of(tmp_path / "state").unlink()  # as a program that knows nothing of the marker
    with pytest.raises(StoreRefused, match="in use by another process"):
        open_store(tmp_path / "state", STATE)
    store.close()


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Schema("state", 4, STATE.tables), "version 3 of its schema.*version 4.*an older release"),
        (Schema("state", 2, STATE.tables), "version 3 of its schema.*version 2.*a newer release"),
        (Schema("other", 3, STATE.tables), "one of state, expected other"),
    ],
)
def test_a_store_of_another_schema_is_refused_and_left_alone(tmp_path: Path, schema: Schema, text: str) -> None:
    store = open_store(tmp_path / "state", STATE)
    write(store, {(b"a", 1): 1})
    store.close()
    with pytest.raises(StoreRefused, match=text) as refused:
        open_store(tmp_path / "state", schema)
    assert refused.value.exit_code == 1
    assert opens_as(tmp_path / "state") == {(b"a", 1): 1}


def test_a_folder_that_cannot_be_made_is_an_error_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFault, match=r"Not a directory|File exists") as fault:
        open_store(tmp_path / "file" / "state", STATE)
    assert fault.value.exit_code == 3 and not isinstance(fault.value, (StoreDamaged, StoreRefused))


def test_no_fault_of_a_store_is_taken_for_a_bad_message() -> None:
    assert not issubclass(StoreFault, NodeError) and not issubclass(StoreFault, OSError)


# ---- a store that existed is never begun anew ----


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed store with tables, a log and rows in all of them."""
    monkeypatch.setattr(level, "WRITE_BUFFER", 1 << 16)
    path = tmp_path / "state"
    rng = random.Random(1)
    for first, last in ((0, 300), (300, 320)):  # opened again, it has no tables left that nothing leads to
        store = open_store(path, STATE)
        for number in range(first, last):
            rows = Rows(store.view())
            rows.put(VALUES, (b"%c" % (number % 3), number % 256), number)
            for _ in range(4):
                rows.put(NAMES, rng.randbytes(60), None)
            store.write(rows)
        store.close()
    assert any(path.glob("*.ldb")) and any(path.glob("*.log"))
    return path


def _without_current(path: Path) -> str:
    (path / "CURRENT").unlink()
    return "CURRENT: this file is missing"


def _without_manifest(path: Path) -> str:
    name = next(path.glob("MANIFEST-*")).name
    (path / name).unlink()
    return f"{name}: this file is missing"


def _without_log(path: Path) -> str:
    name = min(path.glob("*.log")).name
    (path / name).unlink()
    return f"{name}: this log is missing"


def _without_table(path: Path) -> str:
    name = next(path.glob("*.ldb")).name
    (path / name).unlink()
    return f"{name}: this table is missing"


def _short_table(path: Path) -> str:
    file = next(path.glob("*.ldb"))
    file.write_bytes(file.read_bytes()[:-1])
    return f"{file.name}: it has "


def _other_current(path: Path) -> str:
    (path / "CURRENT").write_bytes(b"MANIFEST\n")
    return "CURRENT: b'MANIFEST.*names no manifest"


def _empty_manifest(path: Path) -> str:
    file = next(path.glob("MANIFEST-*"))
    file.write_bytes(b"")
    return f"{file.name}: nothing is recorded in it"


@pytest.mark.parametrize(
    "hurt",
    [
        _without_current,
        _without_manifest,
        _without_log,
        _without_table,
        _short_table,
        _other_current,
        _empty_manifest,
    ],
)
@pytest.mark.parametrize("marked", [True, False])
def test_a_store_without_one_of_its_files_is_refused_by_name(
    whole: Path, hurt: Callable[[Path], str], marked: bool
) -> None:
    text = hurt(whole)
    if not marked:
        marker_of(whole).unlink()
    before = content(whole)
    with pytest.raises(StoreDamaged, match=text) as refused:
        open_store(whole, STATE)
    assert refused.value.exit_code == 1
    assert "restore the store from a backup, or delete it" in str(refused.value)
    assert content(whole) == before
    assert check.full(whole).findings


def test_a_store_that_is_gone_is_refused_while_its_marker_stands(whole: Path) -> None:
    shutil.rmtree(whole)
    with pytest.raises(StoreDamaged, match=r"is missing, although state\.store beside it"):
        open_store(whole, STATE)
    assert not whole.exists()
    marker_of(whole).unlink()
    assert opens_as(whole) == {}


def test_a_marker_that_was_lost_is_written_again(whole: Path) -> None:
    expected = opens_as(whole)
    marker_of(whole).unlink()
    assert opens_as(whole) == expected
    assert marker_of(whole).stat().st_size > 0


def test_a_store_whose_making_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()
    marker_of(path).touch()
    (path / "LOCK").touch()
    (path / "MANIFEST-000001").write_bytes(b"half")
    assert opens_as(path) == {}


def test_a_link_in_place_of_the_marker_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state.store").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreFault, match="cannot be opened"):
        open_store(tmp_path / "state", STATE)
    assert not (tmp_path / "elsewhere").exists()


def test_a_log_without_its_first_batches_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", STATE)
    for number in range(5):
        write(store, {(b"a", number): number})
    store.close()
    assert opens_as(tmp_path / "state")  # moves the batches to a table
    store = open_store(tmp_path / "state", STATE)
    for number in range(3):
        write(store, {(b"b", number): number})
    store.close()
    (log,) = (tmp_path / "state").glob("*.log")
    first = len(read_log(log.name, log.read_bytes()).records[0]) + 7
    log.write_bytes(log.read_bytes()[first:])
    with pytest.raises(StoreDamaged, match="is missing"):
        open_store(tmp_path / "state", STATE)


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
    ends = _ends(data)
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
    ends = _ends(data)
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


def _ends(data: bytes) -> list[int]:
    """Where each record of a log ends: the sizes with which one more is read whole."""
    ends: list[int] = []
    records = 0
    at = 0
    while at < len(data):
        at += 1
        # a record's last piece ends where a prefix holds it for the first time; sizes come from the headers
        if len(read_log("", data[:at]).records) > records:
            records += 1
            ends.append(at)
        elif len(data) > 4096 and at % 97:
            step = _next_end(data, at)
            at = max(at, step - 1)
    return ends


def _next_end(data: bytes, at: int) -> int:
    """The first end of a piece behind a place, by walking the headers from the beginning."""
    place = 0
    while place < len(data):
        room = BLOCK - place % BLOCK
        if room < 7:
            place += room
            continue
        place += 7 + int.from_bytes(data[place + 4 : place + 6], "little")
        if place > at:
            return place
    return len(data)


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
    path = tmp_path / "state"
    rng = random.Random(3)
    first = 1
    for _ in range(6):
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


def _flips(data: bytes, rng: random.Random, step: int) -> Iterator[tuple[int, int]]:
    """At least one place of every `step` bytes, and every byte at both ends."""
    for start in range(0, len(data), step):
        yield rng.randrange(start, min(start + step, len(data))), 1 << rng.randrange(8)
    for at in {*range(min(len(data), 32)), *range(max(0, len(data) - 48), len(data))}:
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
        for at, bit in _flips(data, rng, 2048):
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


def names_of(path: Path) -> list[bytes]:
    store = open_store(path, STATE)
    view = store.view()
    try:
        return list(view.keys(NAMES))
    finally:
        view.close()
        store.close()


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
            (copy / file.name).write_bytes(flipped)
            report = check.full(copy)
            if report.is_whole and (file.name, at) not in padding:
                missed.append((file.name, at, bit))
            assert report.is_whole or any(_names(file.name, str(finding)) for finding in report.findings)
        (copy / file.name).write_bytes(data)
    assert not missed


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


# ---- writes that fail ----

FULL_DISK = """
import resource, sys
from pathlib import Path
from node.store.errors import StoreFault
from node.store.level import open_store
from node.store.view import Rows
from tests.node.store.tables import NAMES, STATE
store = open_store(Path(sys.argv[1]), STATE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
number = 0
while True:
    view = store.view()
    rows = Rows(view)
    rows.put(NAMES, b"%0500d" % number, None)
    try:
        store.write(rows)
    except StoreFault as fault:
        print(number, type(fault).__name__, fault.exit_code)
        break
    number += 1
for what in (store.snapshot, lambda: store.write(rows)):
    try:
        what()
        print("went on")
    except StoreFault as fault:
        print("refused")
"""


def test_after_a_write_that_failed_nothing_goes_on_and_nothing_is_lost(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "state")], capture_output=True, text=True, check=True
    )
    first, *rest = answer.stdout.splitlines()
    written, kind, code = first.split()
    assert (kind, code, rest) == ("StoreFault", "3", ["refused", "refused"])
    assert names_of(tmp_path / "state") == [b"%0500d" % number for number in range(int(written))]


class Recorded:
    """A backend that notes which writes were synced."""

    def __init__(self, backend: object) -> None:
        self._backend = backend
        self.synced: list[bool] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def write(self, changes: object, sync: bool) -> None:
        self.synced.append(sync)
        self._backend.write(changes, sync)  # type: ignore[attr-defined]


def test_durable_rows_are_synced_and_others_only_when_asked() -> None:
    store = Store.in_memory(STATE)
    recorded = store._backend = Recorded(store._backend)  # type: ignore[assignment]
    write(store, {(b"a", 1): 1})
    write(store, {(b"a", 2): 1}, sync=True)
    view = store.view()
    turn = Rows(view)
    turn.put(VALUES, (b"a", 3), 3)
    durable = Rows(turn)
    durable.put(DURABLE, 1, 1)
    turn.merge(durable)
    store.write(turn)
    store.write(Rows(store.view()))  # nothing to write
    assert recorded.synced == [False, True, True]  # type: ignore[attr-defined]


def test_rows_over_a_view_that_is_out_of_date_are_refused() -> None:
    store = Store.in_memory(STATE)
    old = store.view()
    write(store, {(b"a", 1): 1})
    rows = Rows(old)
    rows.put(VALUES, (b"a", 1), 2)
    with pytest.raises(ValueError, match="before another write"):
        store.write(rows)


def test_only_rows_made_over_others_are_merged_into_them() -> None:
    view = Store.in_memory(STATE).view()
    with pytest.raises(ValueError, match="made over these"):
        Rows(view).merge(Rows(view))


def test_a_table_of_no_schema_is_not_written() -> None:
    store = Store.in_memory(STATE)
    rows = Rows(store.view())
    rows.put(Table(b"xx", "strange", u8, MARKER), 1, None)
    with pytest.raises(ValueError, match="strange is not in the schema of state"):
        store.write(rows)
