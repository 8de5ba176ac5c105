"""Which proposals a node votes for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.hare.proposals import Selection
from node.malfeasance.tables import MARKS, PROOFS, Mark
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import AtxId, Beacon, LayerId, NodeId, ProposalId
from tests.node.hare.words import BEACON, FIRST, proposal
from tests.support.hare_nodes import GENESIS, LAYER, KeptAtx, KeptProposal, Surroundings

ME, LOWER = NodeId(b"m" * 32), NodeId(b"l" * 32)
A, B, C = proposal(1), proposal(2), proposal(3)


def votes(
    proposals: Sequence[KeptProposal],
    own: Sequence[KeptAtx] = (KeptAtx(AtxId(ME), ME, height=100),),
    base_heights: dict[ProposalId, int] | None = None,
    convicted: Sequence[NodeId] = (),
    known: Sequence[KeptProposal] | None = None,
) -> list[ProposalId]:
    """The votes of a node. known: the proposals whose ATXs it knows, all where nothing is said."""
    heights = base_heights or {}
    atxs = {
        one.atx_id: KeptAtx(one.atx_id, one.smesher, base_height=heights.get(one.id, 0))
        for one in (proposals if known is None else known)
    }
    store = Store.in_memory(Schema("state", 1, (PROOFS, MARKS)))
    rows = Rows(store.view())
    for identity in convicted:
        rows.put(MARKS, identity, Mark(0))
    store.write(rows)
    around = Surroundings(own, {LayerId(FIRST): list(proposals)}, list(atxs.values()))
    selection = Selection(NetworkTime(GENESIS, LAYER, 4), around, around)
    return list(selection.votes(store.view(), LayerId(FIRST), BEACON, [ME, LOWER]))


def test_all_good_proposals_ascending() -> None:
    assert votes([C, A, B]) == [A.id, B.id, C.id]
    assert votes([]) == []


def test_none_without_an_own_atx() -> None:
    assert votes([A], own=()) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(B, beacon=Beacon(b"else")),
        replace(B, is_malicious=True),
    ],
    ids=["another beacon", "of a smesher that was convicted before"],
)
def test_others_are_left_out(other: KeptProposal) -> None:
    assert votes([A, other, C]) == [A.id, C.id]


def test_who_was_convicted_after_the_proposal_came_is_left_out() -> None:
    assert votes([A, B, C], convicted=[B.smesher]) == [A.id, C.id]


def test_of_two_proposals_of_one_atx_neither_is_taken() -> None:
    twin = replace(B, id=ProposalId(b"t" * 20))
    assert votes([A, B, twin, C]) == [A.id, C.id]
    assert votes([A, B, replace(twin, is_malicious=True)]) == [A.id], "even if one of them is left out anyway"


def test_proposals_of_the_future_are_those_whose_ticks_begin_where_our_lowest_atx_ends() -> None:
    own = (KeptAtx(AtxId(ME), ME, height=200), KeptAtx(AtxId(LOWER), LOWER, height=100))
    assert votes([A, B, C], own, {A.id: 99, B.id: 100, C.id: 101}) == [A.id]
    assert votes([A, B, C], own[:1], {A.id: 99, B.id: 100, C.id: 101}) == [A.id, B.id, C.id]


def test_an_atx_that_is_not_known_means_that_we_know_too_little_unless_its_proposal_is_left_out() -> None:
    assert votes([A, B], known=[A]) == []
    assert votes([A, replace(B, is_malicious=True)], known=[A]) == [A.id]
    assert votes([A, replace(B, beacon=Beacon(b"else"))], known=[A]) == []
