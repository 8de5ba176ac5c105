"""Tables, indexes, snapshots and pending rows against a dictionary, on both backends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.memory import MemoryBackend, SortedKeys
from node.store.stores import Stores
from node.store.view import Rows, Span, View

from .tables import BY_NUMBER, BY_REST, NAMES, STATE, VALUES, opened

Key = tuple[bytes, int]
Model = dict[Key, int]

LETTERS = [b"a", b"b", b"\xff"]
NUMBERS = [0, 1, 2, 255]
ALL_KEYS = [(letter, number) for letter in LETTERS for number in NUMBERS]

keys = st.sampled_from(ALL_KEYS)
puts = st.tuples(st.just("put"), keys, st.integers(0, 40))
deletes = st.tuples(st.just("delete"), keys, st.just(0))
changes = st.lists(st.one_of(puts, deletes), max_size=6)
units = st.tuples(
    st.sampled_from(["write", "drop"]), changes, st.lists(st.tuples(st.sampled_from(["merge", "let go"]), changes))
)
groups = st.lists(units, min_size=1, max_size=3)
spans = st.builds(
    Span,
    within=st.one_of(st.none(), st.sampled_from([(letter,) for letter in LETTERS])),
    start=st.one_of(st.none(), keys, st.sampled_from([(letter,) for letter in LETTERS])),
    stop=st.one_of(st.none(), keys, st.sampled_from([(letter,) for letter in LETTERS])),
    last=st.one_of(st.none(), keys, st.sampled_from([(letter,) for letter in LETTERS])),
    reverse=st.booleans(),
)


def in_span(key: Key, span: Span) -> bool:
    """What a span means, said with tuples."""
    if span.within is not None and key[:1] != span.within:
        return False
    if span.start is not None and key < span.start:
        return False
    if span.stop is not None and not key < span.stop:
        return False
    return span.last is None or key[: len(span.last)] <= span.last


def compare(view: View, model: Model, span: Span) -> None:
    """Everything that can be read is what the model says."""
    for key in ALL_KEYS:
        assert view.get(VALUES, key) == model.get(key)
        assert view.has(VALUES, key) is (key in model)
    chosen = sorted((key for key in model if in_span(key, span)), reverse=span.reverse)
    assert list(view.scan(VALUES, span)) == [(key, model[key]) for key in chosen]
    assert list(view.keys(VALUES, span)) == chosen
    assert view.first(VALUES, span) == ((chosen[0], model[chosen[0]]) if chosen else None)
    entries = sorted((rest, key) for key, value in model.items() if value for rest in {value % 5, value % 7})
    assert list(view.find(BY_REST)) == entries
    assert list(view.find_rows(BY_REST, Span(start=2, stop=4, reverse=True))) == [
        (key, model[key]) for rest, key in reversed(entries) if 2 <= rest < 4
    ]
    assert list(view.find(BY_NUMBER, Span(within=255))) == [(255, key) for key in sorted(model) if key[1] == 255]


def apply(rows: Rows, model: Model, changed: list[tuple[str, Key, int]]) -> None:
    """The same changes to both."""
    for what, key, value in changed:
        if what == "put":
            rows.put(VALUES, key, value)
            model[key] = value
        else:
            rows.delete(VALUES, key)
            model.pop(key, None)


@pytest.fixture(scope="module", params=["memory", "leveldb"])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """The stores that the examples share: making them takes longer than an example."""
    with opened(request.param, tmp_path_factory.mktemp("stores")) as made:
        yield made


@contextmanager
def emptied(stores: Stores) -> Iterator[None]:
    """Nothing in the stores of what an earlier example left."""
    view = stores.view()
    rows = Rows(view)
    for table in STATE.tables:
        for key in view.keys(table):
            rows.delete(table, key)
    stores.write(rows)
    view.close()
    yield


@settings(max_examples=80, deadline=None)
@given(script=st.lists(groups, max_size=5), span=spans)
def test_what_is_read_is_what_was_written(stores: Stores, script: list[Any], span: Span) -> None:
    with emptied(stores):
        model: Model = {}
        held: list[tuple[Any, Model]] = []
        for group in script:
            view = stores.view()
            held.append((view, dict(model)))
            turn, expected = Rows(view), dict(model)
            for outcome, changed, journal in group:
                unit, inside = Rows(turn), dict(expected)
                apply(unit, inside, changed)
                for ending, more in journal:
                    inner, deeper = Rows(unit), dict(inside)
                    apply(inner, deeper, more)
                    compare(inner, deeper, span)
                    if ending == "merge":
                        unit.merge(inner)
                        inside = deeper
                compare(unit, inside, span)
                assert {key: row for key, row in unit.changes(VALUES) if expected.get(key) != row} == {
                    key: inside.get(key) for key in ALL_KEYS if inside.get(key) != expected.get(key)
                }
                if outcome == "write":
                    turn.merge(unit)
                    expected = inside
            compare(turn, expected, span)
            stores.write(turn)
            model = expected
        compare(stores.view(), model, span)
        for view, before in held:  # what was written later is not seen
            compare(view, before, span)
            view.close()


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sets(st.binary(max_size=2), max_size=300), min_size=2, max_size=4),
    start=st.binary(max_size=1),
    reverse=st.booleans(),
)
def test_a_long_range_is_not_disturbed_by_what_is_written_meanwhile(
    stores: Stores, names: list[set[bytes]], start: bytes, reverse: bool
) -> None:
    with emptied(stores):
        present: set[bytes] = set()
        for batch in names:
            view = stores.view()
            rows = Rows(view)
            walk: Iterator[bytes] = rows.keys(NAMES, Span(start=start, reverse=reverse))
            seen = list(islice(walk, 10))
            for name in batch:
                if name in present:
                    rows.delete(NAMES, name)
                else:
                    rows.put(NAMES, name, None)
            stores.write(rows)
            assert seen + list(walk) == sorted((name for name in present if name >= start), reverse=reverse)
            present ^= batch
            view.close()
        assert list(stores.view().keys(NAMES)) == sorted(present)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9000)), max_size=60),
    st.integers(0, 9000),
    st.integers(1, 70),
    st.integers(0, 300),
)
@settings(max_examples=30, deadline=None)
def test_sorted_keys_are_a_sorted_set(single: list[tuple[bool, int]], pivot: int, count: int, width: int) -> None:
    keys, model = SortedKeys(), set(range(0, 9000, 3))
    for number in model:
        keys.add(b"%05d" % number)
    for add, number in single:
        if add is (number in model):
            continue
        (keys.add if add else keys.remove)(b"%05d" % number)
        model ^= {number}
    above = [b"%05d" % number for number in sorted(model) if number >= pivot][:count]
    below = [b"%05d" % number for number in sorted(model, reverse=True) if number < pivot][:count]
    assert keys.above(b"%05d" % pivot, None, count) == above
    stop = b"%05d" % (pivot + width)
    assert keys.above(b"%05d" % pivot, stop, count) == [key for key in above if key < stop]
    assert keys.below(b"%05d" % pivot, count) == below
    assert keys.below(None, count) == [b"%05d" % number for number in sorted(model, reverse=True)][:count]


def test_a_range_of_a_snapshot_survives_that_everything_is_deleted() -> None:
    backend = MemoryBackend()
    everything = [(b"%04d" % number, b"") for number in range(5000)]
    backend.write(everything, sync=False)
    snapshot = backend.snapshot()
    backend.write([(key, None) for key, _ in everything], sync=False)
    assert list(snapshot.scan(b"", None, False)) == everything
    assert list(snapshot.scan(b"0010", b"4000", True)) == everything[10:4000][::-1]
    assert list(backend.snapshot().scan(b"", None, False)) == []
