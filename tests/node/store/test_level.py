"""A store in LevelDB: what is opened, what is refused, and writes that fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
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
from prover import durable
from prover.leveldb_files import check
from prover.leveldb_files.log import read_log

from .levels import content, names_of, opens_as, write
from .tables import DURABLE, NAMES, STATE, VALUES

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
    with pytest.raises(StoreFault, match="a file of that name is in the way") as fault:
        open_store(tmp_path / "file" / "state", STATE)
    assert fault.value.exit_code == 3 and not isinstance(fault.value, (StoreDamaged, StoreRefused))


def test_no_fault_of_a_store_is_taken_for_a_bad_message() -> None:
    assert not issubclass(StoreFault, NodeError) and not issubclass(StoreFault, OSError)


# ---- a store that existed is never begun anew ----


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


def test_a_fifo_in_place_of_the_marker_is_no_store_that_never_was(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.store")
    with pytest.raises(StoreFault, match="cannot be opened: it is a FIFO"):
        open_store(tmp_path / "state", STATE)
    assert not (tmp_path / "state").exists()


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


def test_the_name_of_a_new_log_is_synced_with_the_first_rows_that_must_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level, "WRITE_BUFFER", 1 << 16)
    synced: list[str] = []
    path = tmp_path / "state"
    store = open_store(path, STATE)

    def noted(folder: Path) -> None:
        synced.append(max(file.name for file in folder.glob("*.log")))

    monkeypatch.setattr(durable, "sync_directory", noted)
    for number in range(300):
        rows = Rows(store.view())
        rows.put(NAMES, b"%0500d" % number, None)
        store.write(rows, sync=True)
    assert len(synced) > 1 and len(set(synced)) == len(synced)  # once for each log, not with every write
    assert synced[-1] == max(file.name for file in path.glob("*.log"))
    store.close()
