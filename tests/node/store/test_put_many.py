"""Many rows of one table at once: the same as one after another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.keys import compound, fixed, u32
from node.store.store import Store
from node.store.table import RAW, Schema, Table
from node.store.view import Rows

PLAIN: Table[tuple[bytes, int], bytes] = Table(b"pl", "plain", compound(fixed(1), u32), RAW)
INDEXED: Table[tuple[bytes, int], bytes] = Table(b"in", "indexed", compound(fixed(1), u32), RAW)
BY_ROW = INDEXED.index(b"ir", "by row", u32, lambda key, row: (len(row),))
BY_NUMBER = INDEXED.key_index(b"ik", "by number", u32, lambda key: (key[1],))
SCHEMA = Schema("many", 1, (PLAIN, INDEXED))

rows = st.lists(st.tuples(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 3)), st.binary(max_size=3)))


def written(table: Table[Any, Any], many: bool, *groups: list[Any]) -> list[tuple[bytes, bytes]]:
    store = Store.in_memory(SCHEMA)
    for group in groups:
        view = store.view()
        unit = Rows(view)
        if many:
            unit.put_many(table, group)
        else:
            for key, row in group:
                unit.put(table, key, row)
        assert {key: unit.get(table, key) for key, _ in group} == dict(group)
        assert sorted(unit.scan(table)) == sorted({**dict(view.scan(table)), **dict(group)}.items())
        store.write(unit)
        view.close()
    return list(store.snapshot().scan(b"", None, False))


@pytest.mark.parametrize("table", [PLAIN, INDEXED], ids=lambda table: table.name)
@given(first=rows, second=rows)
def test_many_rows_are_put_as_one_after_another(table: Table[Any, Any], first: list[Any], second: list[Any]) -> None:
    assert written(table, True, first, second) == written(table, False, first, second)


@given(first=rows, second=rows)
def test_rows_that_were_read_before_are_put_as_others(first: list[Any], second: list[Any]) -> None:
    groups = [list(dict(group).items()) for group in (first, second)]
    store = Store.in_memory(SCHEMA)
    for group in groups:
        view = store.view()
        unit = Rows(view)
        unit.put_many(INDEXED, group, dict(view.scan(INDEXED)))
        assert all(unit.get(INDEXED, key) is row for key, row in group)
        store.write(unit)
        view.close()
    assert list(store.snapshot().scan(b"", None, False)) == written(INDEXED, False, *groups)


def test_nothing_is_put_of_rows_that_were_read_before_if_one_cannot_be() -> None:
    unit = Rows(Store.in_memory(SCHEMA).view())
    with pytest.raises(ValueError, match="expected 0 to"):
        unit.put_many(INDEXED, [((b"a", 1), b""), ((b"a", -1), b"")], {})
    assert unit.is_empty


def test_a_row_that_cannot_be_written_is_refused() -> None:
    store = Store.in_memory(SCHEMA)
    with pytest.raises(ValueError, match="expected 0 to"):
        Rows(store.view()).put_many(PLAIN, [((b"a", 1), b""), ((b"a", -1), b"")])


@given(first=rows, second=rows, third=rows)
def test_rows_that_were_put_are_given_as_they_are(first: list[Any], second: list[Any], third: list[Any]) -> None:
    store = Store.in_memory(SCHEMA)
    before = Rows(store.view())
    before.put_many(INDEXED, first)
    store.write(before)
    unit = Rows(store.view())
    unit.put_many(INDEXED, second)
    inner = Rows(unit)
    for key, row in third:
        inner.put(INDEXED, key, row)
    for key, _ in first[:2]:
        inner.delete(INDEXED, key)
    unit.merge(inner)
    found = list(unit.put_rows(INDEXED))
    assert found == [(key, row) for key, row in unit.changes(INDEXED) if row is not None]
    assert all(unit.get(INDEXED, key) is row for key, row in found)
    assert list(unit.put_rows(PLAIN)) == []
