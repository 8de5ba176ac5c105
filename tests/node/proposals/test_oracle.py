"""Active sets as rows have them, and what ballots report when nobody agreed on a beacon here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.activation.columns import AtxColumns, AtxRow
from node.beacon.machine import BEACONS
from node.eligibility.active_set import Member
from node.eligibility.errors import EligibilityError
from node.ledger.tables import LAYERS, AppliedLayer
from node.malfeasance.tables import PROOFS, StoredProof
from node.mesh.tables import BALLOTS, BLOCKS
from node.proposals.active_sets import is_ascending
from node.proposals.oracle import ActiveSetOracle, Members, first_ballot, last_ballot_layer
from node.proposals.own_sets import Grade, grade, graded
from node.proposals.reported import ReportedBeacons
from node.proposals.tables import put_active_set
from node.store.view import Rows
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ballots import Ballot
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.ids import EMPTY_BLOCK_ID, Address, AtxId, Beacon, EpochId, Hash32, LayerId, NodeId
from tests.node.proposals.network import (
    ALICE,
    BEACON,
    BOB,
    CAROL,
    DAVE,
    EPOCH,
    FIRST,
    PARAMETERS,
    TIME,
    Node,
    Smesher,
    ballot_of,
    eligibilities,
    first_opinion,
    ids_of,
)

CONFIDENCE = 1
OTHER = Beacon(b"\x09" * 4)


def put_ballot(node: Node, smesher: Smesher, layer: int, of: list[Smesher], beacon: Beacon = BEACON) -> Ballot:
    """A first ballot that names a set, as it is stored."""
    ids = ids_of(TIME.epoch_of(layer), of)
    ballot = ballot_of(smesher, layer, node.opinion(FIRST), ids=ids)
    data = ballot.inner.epoch_data
    assert data is not None
    ballot = replace(ballot, inner=replace(ballot.inner, epoch_data=replace(data, beacon=beacon)))

    def put(rows: Rows) -> None:
        rows.put(BALLOTS, ballot.id(), ballot)
        put_active_set(rows, active_set_hash(ids), EpochActiveSet(TIME.epoch_of(layer), ids))

    node.write(put)
    return ballot


def apply_block(node: Node, layer: int, *rewarded: Smesher) -> None:
    rewards = tuple(AnyReward(one.atx(), RatNum(1, 1)) for one in rewarded)
    block = InnerBlock(LayerId(layer), 0, rewards, ())

    def put(rows: Rows) -> None:
        rows.put(BLOCKS, block.id(), block)
        rows.put(LAYERS, LayerId(layer - 1), AppliedLayer(Hash32(bytes(32)), EMPTY_BLOCK_ID, (), ()))
        rows.put(LAYERS, LayerId(layer), AppliedLayer(Hash32(bytes(32)), block.id(), (), ()))

    node.write(put)


def oracle(node: Node, fallback: list[AtxId] | None = None) -> ActiveSetOracle:
    return ActiveSetOracle(TIME, CONFIDENCE, node.columns, lambda view, epoch: fallback)


def members(node: Node, of: ActiveSetOracle, layer: int = FIRST) -> dict[NodeId, Member]:
    view = node.stores.view()
    try:
        return dict(of.active_set(view, LayerId(layer)).members)
    finally:
        view.close()


def expected(*smeshers: Smesher) -> dict[NodeId, Member]:
    return {one.id: Member(one.atx(), one.weight) for one in smeshers}


def test_the_set_comes_from_first_ballots_with_our_beacon_then_from_the_first_block() -> None:
    node = Node(has_set=False)
    put_ballot(node, ALICE, FIRST, [ALICE, BOB])
    put_ballot(node, BOB, FIRST + 1, [BOB, CAROL])
    put_ballot(node, DAVE, FIRST, [DAVE], OTHER)
    of = oracle(node)
    assert members(node, of) == expected(ALICE, BOB, CAROL)
    apply_block(node, FIRST + 2, ALICE)
    assert members(node, of) == expected(ALICE, BOB, CAROL), "a set that was made counts for its epoch"
    of.forget()
    assert members(node, of) == expected(ALICE, BOB)
    assert members(node, oracle(node, ids_of(EPOCH, [DAVE]))) == expected(DAVE)


def test_a_block_of_which_something_is_missing_is_passed_over() -> None:
    node = Node(has_set=False)
    put_ballot(node, ALICE, FIRST, [ALICE, BOB])
    apply_block(node, FIRST, CAROL)  # whose first ballot is not here
    assert members(node, oracle(node)) == expected(ALICE, BOB)


def test_a_second_ballot_of_the_epoch_names_no_set() -> None:
    node = Node(has_set=False)
    first = put_ballot(node, ALICE, FIRST, [ALICE])
    later = put_ballot(node, ALICE, FIRST + 1, [DAVE])
    assert members(node, oracle(node)) == expected(ALICE)
    view = node.stores.view()
    assert first_ballot(view, TIME, EPOCH, ALICE.atx()) == (first.id(), first)
    assert last_ballot_layer(view, TIME, EPOCH, ALICE.atx()) == later.inner.layer
    assert first_ballot(view, TIME, EpochId(EPOCH + 1), ALICE.atx()) is None
    assert last_ballot_layer(view, TIME, EPOCH, BOB.atx()) is None


def test_at_the_start_of_an_epoch_the_set_before_counts() -> None:
    node = Node(has_set=False)
    put_ballot(node, ALICE, FIRST, [ALICE, BOB])
    put_ballot(node, CAROL, FIRST + 4, [CAROL])
    of = oracle(node)
    assert members(node, of, FIRST + 4) == expected(ALICE, BOB)
    assert set(members(node, of, FIRST + 5)) == {CAROL.id}


@pytest.mark.parametrize(
    ("reason", "options"),
    [("beacon_missing", {"has_beacon": False}), ("empty_active_set", {}), ("missing_atx", {"known": [ALICE]})],
)
def test_what_a_set_cannot_be_made_for(reason: str, options: dict[str, Any]) -> None:
    node = Node(has_set=False, **options)
    if reason == "missing_atx":
        put_ballot(node, ALICE, FIRST, [ALICE, BOB])
    with pytest.raises(EligibilityError) as error:
        members(node, oracle(node))
    assert error.value.reason == reason


def test_so_many_epochs_are_remembered() -> None:
    node = Node(has_set=False)
    put_ballot(node, ALICE, FIRST, [ALICE])
    put_ballot(node, ALICE, FIRST + 4, [ALICE])
    of = ActiveSetOracle(TIME, CONFIDENCE, node.columns, lambda view, epoch: None, epochs_kept=1)
    assert set(members(node, of)) == set(members(node, of, FIRST + 5)) == {ALICE.id}
    put_ballot(node, BOB, FIRST, [BOB])
    assert set(members(node, of)) == {ALICE.id, BOB.id}, "it was made anew"


def _words(rows: list[bytes]) -> Any:
    return np.frombuffer(b"".join(rows), ">u8").astype(np.uint64).reshape(-1, 4)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1 << 40)), min_size=1, max_size=20))
def test_members_in_columns_are_those_of_a_dictionary(rows: list[tuple[int, int]]) -> None:
    nodes = [bytes((node,)) * 32 for node, _ in rows]
    ids = [position.to_bytes(32, "big") for position in range(len(rows))]
    weights = np.array([weight for _, weight in rows], np.uint64)
    found = Members(_words(nodes), _words(ids), weights)
    table = {NodeId(node): Member(AtxId(id), weight) for node, id, (_, weight) in zip(nodes, ids, rows, strict=True)}
    assert dict(found) == table and len(found) == len(table)
    assert found.weight == sum(member.weight for member in table.values())
    assert found.get(NodeId(b"\xff" * 32)) is None


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=12), st.booleans())
def test_ids_in_order_are_told_from_others(parts: list[bytes], is_sorted: bool) -> None:
    ids = [part.rjust(16, b"\0").ljust(32, b"\0") for part in parts]
    ids = sorted(ids) if is_sorted else ids
    assert is_ascending(b"".join(ids)) is (ids == sorted(ids))


TIMES = st.sampled_from([0, 1, 55, 59, 60, 61, 69, 70, 71, 89, 90, 99, 100, 101])


@given(
    st.lists(st.tuples(st.integers(0, 3), TIMES, st.integers(1, 9)), max_size=12),
    st.dictionaries(st.integers(0, 3), TIMES),
)
def test_good_activations_of_columns_are_those_of_the_rule(
    rows: list[tuple[int, int, int]], proofs: dict[int, int]
) -> None:
    start, delay = 100, 10
    atxs = AtxColumns()
    for position, (node, received, weight) in enumerate(rows):
        id, smesher = AtxId(bytes((200 - position,)) * 32), NodeId(bytes((node,)) * 32)
        atxs.add(EPOCH, AtxRow(id, smesher, Address(bytes(24)), weight, 0, 0, 0, received))
    convicted = [NodeId(bytes((node,)) * 32) for node, at in proofs.items() if 0 < at < start]
    found = graded(atxs.epoch(EPOCH), convicted, start, delay)
    good = [
        (AtxId(bytes((200 - position,)) * 32), weight)
        for position, (node, received, weight) in enumerate(rows)
        if grade(received, proofs.get(node, 0), start, delay) is Grade.GOOD
    ]
    assert list(found.ids) == sorted(id for id, _ in good)
    assert (found.weight, found.count) == (sum(weight for _, weight in good), len(rows))


# ---- beacons that ballots report ----


TWO = replace(PARAMETERS, sync_weight_units=sum(len(eligibilities(one, FIRST)) for one in (ALICE, BOB)))
"""As many slots as Alice and Bob have in the first layer."""


def test_enough_ballots_say_which_beacon_an_epoch_has() -> None:
    node = Node(has_beacon=False, parameters=TWO)
    found = []
    for smesher in (ALICE, BOB):
        assert node.sync(ballot_of(smesher, FIRST, first_opinion())).is_accepted
        found.append(node.world.view().get(BEACONS, EPOCH))
    assert found == [None, BEACON]


def test_stored_ballots_are_counted_again_after_a_restart() -> None:
    node = Node(has_beacon=False, parameters=TWO)
    first = ballot_of(ALICE, FIRST, first_opinion())
    assert node.sync(first).is_accepted
    again = Node(has_beacon=False, backends=node.backends, parameters=TWO)
    again.recover(first)
    assert again.world.view().get(BEACONS, EPOCH) is None
    assert again.sync(ballot_of(BOB, FIRST, first_opinion())).is_accepted
    assert again.world.view().get(BEACONS, EPOCH) == BEACON


def test_reports_of_so_many_epochs_are_kept() -> None:
    reported = ReportedBeacons(sync_weight_units=1000, epochs_kept=2)
    node = Node(has_beacon=False)
    ballot = ballot_of(ALICE, FIRST, first_opinion())
    view = node.stores.view()
    rows = Rows(view)
    for epoch in range(5):
        reported.report(rows, EpochId(epoch), ballot.id(), ballot, BEACON, 500, 12)
    assert sorted(reported._epochs) == [3, 4]
    assert rows.is_empty


def test_a_proof_that_came_before_the_epoch_keeps_an_activation_out_of_our_set() -> None:
    node = Node(own=[ALICE], now=TIME.start_ns(FIRST - 1))
    node.write(lambda rows: rows.put(PROOFS, BOB.id, StoredProof(b"", TIME.start_ns(FIRST) - 1)))
    node.write(lambda rows: rows.put(PROOFS, CAROL.id, StoredProof(b"", TIME.start_ns(FIRST))))
    node.world.tick(FIRST)
    node.prove()
    (kept,) = node.kept.of_layer(FIRST)
    data = kept.proposal.inner.ballot.inner.epoch_data
    assert data is not None and data.active_set_hash == active_set_hash(ids_of(EPOCH, [ALICE, CAROL, DAVE]))
