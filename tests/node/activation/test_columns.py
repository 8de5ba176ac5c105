"""The columns of ATXs against a dictionary: whatever comes, is found, marked and forgotten."""

from __future__ import annotations

import random
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.activation import columns as module
from node.activation.columns import ID_WORDS, AtxColumns, AtxRow, EpochColumns, order_of, rows_of, total
from protocol.types.ids import Address, AtxId, EpochId, NodeId

EPOCH = EpochId(7)


def atx(dice: random.Random, *, node: NodeId | None = None, id: bytes | None = None) -> AtxRow:
    return AtxRow(
        AtxId(id or dice.randbytes(32)),
        node or NodeId(dice.randbytes(32)),
        Address(dice.randbytes(24)),
        dice.randrange(1 << 63),
        dice.randrange(1 << 64),
        dice.randrange(1 << 64),
        dice.randrange(1 << 64),
    )


@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(1, 40))
def test_what_was_added_is_found_and_nothing_else(seed: int, count: int, prefixes: int) -> None:
    """Ids with common beginnings, index and newcomers mixed."""
    dice = random.Random(seed)
    least, module.NEW_LEAST = module.NEW_LEAST, dice.choice([1, 10, 1000])
    try:
        known: dict[AtxId, AtxRow] = {}
        columns = EpochColumns()
        for _ in range(count):
            one = atx(dice, id=bytes([dice.randrange(prefixes)]) * 8 + dice.randbytes(1) + bytes(23))
            assert columns.add(one) == (one.id not in known)
            known.setdefault(one.id, one)
        assert len(columns) == len(known)
        asked = [*known, *(AtxId(bytes([dice.randrange(prefixes)]) * 8 + dice.randbytes(24)) for _ in range(20))]
        dice.shuffle(asked)
        rows = columns.find_all(b"".join(asked))
        for id, row in zip(asked, rows, strict=True):
            single = columns.find(id)
            assert (row if row >= 0 else None) == single
            assert (None if single is None else columns.at(single)) == known.get(id)
    finally:
        module.NEW_LEAST = least


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([1, 2, 3, 40, 1 << 62]), st.booleans())
def test_identifiers_in_order_are_those_that_python_sorts(seed: int, count: int, words: int, ascend: bool) -> None:
    """Some share their first words, some all of them: equal ones stand as they came."""
    dice = random.Random(seed)
    rows = [tuple(dice.randrange(words) for _ in range(ID_WORDS)) for _ in range(count)]
    if ascend:
        rows.sort()
    table = np.array(rows, np.uint64).reshape(-1, ID_WORDS)
    expected = sorted(range(count), key=lambda row: rows[row])
    assert order_of(table).tolist() == expected

    ordered = sorted(set(rows))
    known = np.array(ordered, np.uint64).reshape(-1, ID_WORDS)
    assert rows_of(known, table).tolist() == [ordered.index(row) for row in rows]
    if ordered:
        left_out = dice.randrange(len(ordered))
        fewer = np.delete(known, left_out, axis=0)
        found = [-1 if at == left_out else at - (at > left_out) for at in map(ordered.index, rows)]
        assert rows_of(fewer, table).tolist() == found


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 5))
def test_what_was_asked_for_one_by_one_is_as_new_after_each_addition(seed: int, count: int, nodes: int) -> None:
    dice = random.Random(seed)
    kept, module.ROWS_KEPT = module.ROWS_KEPT, dice.choice([1, 3, 1000])
    try:
        columns = AtxColumns()
        coming = [atx(dice, node=NodeId(bytes([dice.randrange(nodes)]) * 32)) for _ in range(count)]
        for number, one in enumerate(coming):
            asked = dice.sample(coming, min(count, 4))
            for _ in range(2):  # found, then remembered
                for other in asked:
                    is_here = other in coming[:number]
                    assert columns.get(EPOCH, other.id) == (other if is_here else None)
                    mine = [known for known in coming[:number] if known.node == other.node]
                    assert list(columns.by_node(EPOCH, other.node)) == mine
            columns.add(EPOCH, one)
        more = EpochColumns()
        late = atx(dice)
        more.add(late)
        assert columns.get(EPOCH, late.id) is None
        columns.load(EPOCH, more.columns())
        assert columns.get(EPOCH, late.id) == late and list(columns.by_node(EPOCH, late.node)) == [late]
    finally:
        module.ROWS_KEPT = kept


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(1, 5))
def test_marks_and_medians(seed: int, count: int, nodes: int) -> None:
    dice = random.Random(seed)
    columns, known = AtxColumns(), list[AtxRow]()
    smeshers = [NodeId(dice.randbytes(32)) for _ in range(nodes)]
    for _ in range(count):
        one = atx(dice, node=dice.choice(smeshers))
        columns.add(EPOCH, one)
        known.append(one)
        if dice.random() < 0.2:
            columns.mark_malicious(dice.choice(smeshers))
    honest = [one.height for one in known if not columns.is_malicious(one.node)]
    expected = sorted(honest)
    middle = len(expected) // 2
    if not expected:
        answer = 0
    elif len(expected) % 2:
        answer = int(median(expected)) if len(expected) == 1 else expected[middle]
    else:
        answer = (expected[middle - 1] + expected[middle]) // 2
    assert columns.median_height(EPOCH) == answer
    for node in smeshers:
        assert list(columns.by_node(EPOCH, node)) == [one for one in known if one.node == node]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_weight_of_an_active_set_needs_all_of_it(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE_BYTES", 32 * at_once)
    dice = random.Random(1)
    columns = AtxColumns()
    known = [atx(dice) for _ in range(50)]
    for one in known:
        columns.add(EPOCH, one)
    ids = sorted(one.id for one in known)
    assert columns.weight_of(EPOCH, b"".join(ids)) == sum(one.weight for one in known)
    assert columns.weight_of(EPOCH, b"".join(ids[:20] + ids[23:])) == sum(
        one.weight for one in known if one.id not in ids[20:23]
    )
    assert columns.weight_of(EPOCH, b"".join(ids) + bytes(32)) is None
    assert columns.weight_of(EPOCH, bytes(32) + b"".join(ids)) is None
    assert columns.weight_of(EPOCH, b"") == 0
    assert columns.missing(EPOCH, [*ids[:3], AtxId(bytes(32))]) == [bytes(32)]
    assert columns.missing(EpochId(8), ids[:1]) == ids[:1]
    with pytest.raises(ValueError, match="33 bytes of ids"):
        columns.weight_of(EPOCH, bytes(33))
    with pytest.raises(ValueError, match=f"{32 * 50 + 1} bytes of ids"):
        columns.weight_of(EPOCH, b"".join(ids) + b"x")


def test_what_is_outside_the_window_is_not_kept() -> None:
    dice = random.Random(1)
    columns = AtxColumns()
    for epoch in range(5):
        columns.add(EpochId(epoch), atx(dice))
    columns.evict(EpochId(2))
    assert [len(columns.epoch(EpochId(epoch))) for epoch in range(5)] == [0, 0, 0, 1, 1]
    assert not columns.add(EpochId(1), atx(dice))


def test_loading_many_is_adding_each() -> None:
    dice = random.Random(3)
    known = [atx(dice) for _ in range(100)]
    one_by_one, at_once = EpochColumns(), AtxColumns()
    for one in known:
        one_by_one.add(one)
    # the second one shares its first word with an honest one
    marked = [known[0].node, NodeId(known[1].node[:8] + bytes(24)), known[2].node]
    for node in marked:
        at_once.mark_malicious(node)
    at_once.load(EPOCH, one_by_one.columns())
    assert [at_once.get(EPOCH, one.id) for one in known] == known
    columns = at_once.epoch(EPOCH)
    found = {columns.at(int(row)).node for row in np.flatnonzero(columns.column("is_malicious"))}
    assert found == {known[0].node, known[2].node}
    assert at_once.add(EPOCH, atx(dice, node=marked[1]))
    assert columns.column("is_malicious").sum() == 3
    with pytest.raises(ValueError, match="stands twice"):
        at_once.load(EPOCH, {name: column[:1] for name, column in one_by_one.columns().items()})


def test_weights_that_do_not_fit() -> None:
    dice = random.Random(1)
    heavy = atx(dice)
    object.__setattr__(heavy, "weight", 1 << 63)
    with pytest.raises(ValueError, match="below 2\\^63"):
        EpochColumns().add(heavy)
    object.__setattr__(heavy, "weight", (1 << 63) - 1)
    columns = EpochColumns()
    for number in range(5):
        object.__setattr__(heavy, "id", AtxId(bytes([number]) * 32))
        columns.add(heavy)
    assert total(columns.column("weight")) == 5 * ((1 << 63) - 1)


def test_an_atx_takes_less_than_two_hundred_bytes() -> None:
    dice = random.Random(1)
    source = EpochColumns()
    for _ in range(1000):
        source.add(atx(dice))
    columns = EpochColumns()
    columns.load(source.columns())
    assert columns.nbytes / len(columns) < 200
