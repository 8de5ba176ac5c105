"""The own store: what was signed once stands, is synced first, and can be copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.store import level
from node.store.errors import StoreFault, StoreRefused
from node.store.level import back_up, marker_of, open_own_store
from node.store.own import SIGNED, Contradiction, Kind, OwnStore, Slot, sign_once
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, Span
from protocol.types.ids import NodeId

from .tables import NOTES, OWN, VALUES, in_files, in_memory, opened

ME = NodeId(b"\x01" * 32)
OTHER = NodeId(b"\x02" * 32)


@pytest.fixture(params=["memory", "leveldb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    with opened(request.param, tmp_path) as made:
        yield made


def signed_rows(stores: Stores, slot: Slot, message: bytes) -> tuple[Rows, bytes]:
    rows = Rows(stores.view())
    return rows, sign_once(rows, slot, message)


def test_the_first_message_of_a_slot_is_the_one_that_is_sent(stores: Stores) -> None:
    slot = Slot(ME, Kind.HARE, 100, 7)
    rows, first = signed_rows(stores, slot, b"one")
    assert (first, sign_once(rows, slot, b"two")) == (b"one", b"one")
    stores.write(rows)
    later, again = signed_rows(stores, slot, b"three")
    assert again == b"one" and later.is_empty
    assert stores.own.signed(slot) == b"one"
    assert signed_rows(stores, slot._replace(round=8), b"other")[1] == b"other"
    assert signed_rows(stores, slot._replace(identity=OTHER), b"other")[1] == b"other"


def test_what_is_signed_is_written_before_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in between leaves the own store ahead: the message is known, though nothing says why it was made."""
    stores = in_memory()
    slot = Slot(ME, Kind.BALLOT, 9)
    rows, _ = signed_rows(stores, slot, b"one")
    rows.put(VALUES, (b"a", 1), 1)

    def fail(*_: object) -> None:
        raise StoreFault("The power is gone.")

    monkeypatch.setattr(stores.state, "write", fail)
    with pytest.raises(StoreFault, match="The power is gone"):
        stores.write(rows)
    assert stores.own.signed(slot) == b"one"


def test_a_signed_message_is_neither_replaced_nor_removed(stores: Stores) -> None:
    slot = Slot(ME, Kind.ATX, 5)
    rows, _ = signed_rows(stores, slot, b"one")
    stores.write(rows)
    for change in ("replace", "remove"):
        rows = Rows(stores.view())
        rows.put(VALUES, (b"a", 1), 1)
        if change == "replace":
            rows.put(SIGNED, slot, b"two")
        else:
            rows.delete(SIGNED, slot)
        with pytest.raises(Contradiction, match="has signed another message for ATX 5"):
            stores.write(rows)
        assert stores.own.signed(slot) == b"one"
        assert not stores.view().has(VALUES, (b"a", 1))  # nor is anything else of that turn written
    same = Rows(stores.view())
    same.put(SIGNED, slot, b"one")
    stores.write(same)


def test_what_one_identity_has_signed_is_a_range(stores: Stores) -> None:
    rows = Rows(stores.view())
    for identity in (ME, OTHER):
        for number in (300, 2, 70000):
            sign_once(rows, Slot(identity, Kind.BALLOT, number), b"%d" % number)
        sign_once(rows, Slot(identity, Kind.ATX, 9), b"atx")
    stores.write(rows)
    found = list(stores.view().scan(SIGNED, Span(within=(ME, Kind.BALLOT))))
    assert found == [(Slot(ME, Kind.BALLOT, number), b"%d" % number) for number in (2, 300, 70000)]


def test_own_rows_are_written_before_all_others(stores: Stores) -> None:
    rows, _ = signed_rows(stores, Slot(ME, Kind.ATX, 5), b"one")
    rows.put(NOTES, 1, 1)
    rows.put(VALUES, (b"a", 1), 1)
    fault = StoreFault("The disk is full.")

    def fail(changes: object, sync: bool) -> None:
        raise fault

    stores.state._backend.write = fail  # type: ignore[method-assign]
    with pytest.raises(StoreFault):
        stores.write(rows)
    assert stores.own.signed(Slot(ME, Kind.ATX, 5)) == b"one"
    assert stores.own.view().get(NOTES, 1) == 1
    with pytest.raises(StoreFault):
        stores.view()


def test_every_write_of_the_own_store_is_synced(stores: Stores) -> None:
    synced = []
    write = stores.own._backend.write

    def noted(changes: object, sync: bool) -> None:
        synced.append(sync)
        write(changes, sync)  # type: ignore[arg-type]

    stores.own._backend.write = noted  # type: ignore[method-assign]
    rows, _ = signed_rows(stores, Slot(ME, Kind.ATX, 5), b"one")
    stores.write(rows)
    rows = Rows(stores.view())
    rows.put(NOTES, 1, 1)
    stores.own.write(rows, sync=False)
    rows = Rows(stores.view())
    rows.put(VALUES, (b"a", 1), 1)
    stores.write(rows)  # nothing of its own, so nothing to wait for
    assert synced == [True, True]


def test_a_schema_of_the_own_store_has_the_signatures_and_own_tables_only() -> None:
    for tables in ((NOTES,), (SIGNED, VALUES)):
        with pytest.raises(ValueError, match="SIGNED and own tables only"):
            OwnStore.in_memory(Schema("own", 1, tables))


def test_a_backup_made_in_use_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "COPIED_AT_ONCE", 3)
    stores = in_files(tmp_path)
    slot = Slot(ME, Kind.ATX, 5)
    rows, _ = signed_rows(stores, slot, b"one")
    rows.put(NOTES, 7, 8)
    stores.write(rows)
    assert back_up(stores.own, tmp_path / "backup") == 4  # two rows of the schema, and ours
    with pytest.raises(StoreRefused, match="exists already"):
        back_up(stores.own, tmp_path / "backup")
    rows = Rows(stores.view())
    rows.put(NOTES, 7, 9)
    stores.write(rows)
    stores.close()
    copy = open_own_store(tmp_path / "backup", OWN)
    assert copy.signed(slot) == b"one" and copy.view().get(NOTES, 7) == 8
    copy.close()
    assert marker_of(tmp_path / "backup").exists()
    assert not list(tmp_path.glob("*partial*"))


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(backend: level.LevelBackend, changes: object, sync: bool) -> None:
        raise StoreFault("The disk is full.")

    stores = in_files(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(level.LevelBackend, "write", fail)
    with pytest.raises(StoreFault, match="disk is full"):
        back_up(stores.own, tmp_path / "backup")
    assert sorted(tmp_path.iterdir()) == before
    stores.close()
