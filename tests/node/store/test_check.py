"""The check of rows: every way in which a table and its indexes can disagree."""

from __future__ import annotations

import pytest

from node.store.check import SHOWN, check_rows
from node.store.store import Store
from node.store.view import Rows

from .tables import BY_NUMBER, BY_REST, STATE, VALUES

ENTRY = (8 % 5).to_bytes(2, "big") + b"a\1"
"""The entry of the row below in the index by rest; 8 % 7 is another."""


@pytest.fixture
def store() -> Store:
    made = Store.in_memory(STATE)
    rows = Rows(made.view())
    rows.put(VALUES, (b"a", 1), 8)
    rows.put(VALUES, (b"b", 2), 0)
    made.write(rows)
    return made


def test_a_store_that_was_only_written_by_us_is_whole(store: Store) -> None:
    counted: list[int] = []
    report = check_rows(store, counted.append)
    assert report.faults == 0
    assert report.rows == {"values": 2, "values by rest": 2, "values by number": 2}
    assert sum(counted) == 6


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        (BY_REST.prefix + ENTRY, None, ["the index values by rest has no entry of it"]),
        (BY_NUMBER.prefix + b"\1a\1", None, ["the index values by number has no entry of it"]),
        (BY_REST.prefix + b"\0\4a\1", b"", ["leads to key 6101 of values, whose row has another one"]),
        (BY_REST.prefix + b"\0\4c\1", b"", ["leads to key 6301 of values, which has no row"]),
        (BY_REST.prefix + b"\0", b"", ["Entry 00 of values by rest cannot be read"]),
        (VALUES.prefix + b"a", b"\4", ["Key 61 of values: the row cannot be read"]),
        (VALUES.prefix + b"c\3", b"\x03\0\0\0\1", ["the row cannot be read"]),
        (b"??key", b"", ["Key 3f3f6b6579 belongs to no table of state"]),
        (VALUES.prefix + b"a\1", b"\x24", ["no entry of it", "whose row has another one"]),
    ],
)
def test_what_disagrees_is_named(store: Store, key: bytes, value: bytes | None, texts: list[str]) -> None:
    store._backend.write([(key, value)], sync=False)
    report = check_rows(store)
    assert report.faults
    for text in texts:
        assert any(text in one for one in report.texts), report.texts


def test_all_faults_are_counted_and_some_described(store: Store) -> None:
    store._backend.write([(b"??%d" % number, b"") for number in range(3 * SHOWN)], sync=False)
    report = check_rows(store)
    assert (report.faults, len(report.texts)) == (3 * SHOWN, SHOWN)
