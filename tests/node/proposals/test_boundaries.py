"""Rules of ballots where they turn: one slot, one layer, one epoch more or less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.activation.columns import AtxColumns, AtxRow
from node.proposals.eligibility import Standing, proofs_to_check, standing
from node.proposals.errors import BallotRejected
from node.proposals.own_sets import graded
from node.proposals.rules import check_votes
from node.tortoise.ballots import BallotFacts
from protocol.crypto import vrf
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot, EpochData, InnerBallot, Vote, Votes, VotingEligibility
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    Address,
    AtxId,
    BallotId,
    Beacon,
    BlockId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    VrfSignature,
)

TIME = NetworkTime(0, 1, 4)
BEACON = Beacon(b"\1\2\3\4")
ME, ATX, REFERENCE = NodeId(b"m" * 32), AtxId(b"a" * 32), BallotId(b"r" * 20)
ROW = AtxRow(ATX, ME, Address(bytes(24)), 100, 0, 10, 7)


def slot(number: int, ordinal: int) -> VotingEligibility:
    """A slot in a layer of an epoch of four."""
    return VotingEligibility(number, VrfSignature(bytes([ordinal]) + bytes(79)))


def ballot(layer: int, *slots: VotingEligibility, claimed: int | None = None) -> Ballot:
    """claimed: slots in the epoch, of a first ballot; None: a later one."""
    data = None if claimed is None else EpochData(Hash32(bytes(32)), BEACON, claimed)
    reference = REFERENCE if claimed is None else EMPTY_BALLOT_ID
    inner = InnerBallot(LayerId(layer), ATX, Hash32(bytes(32)), reference, data)
    return Ballot(inner, EdSignature(bytes(64)), ME, Votes(EMPTY_BALLOT_ID), slots)


@pytest.mark.parametrize(
    ("slots", "fault"),
    [
        ([slot(0, 1), slot(9, 1)], None),
        ([slot(10, 1)], "counter_too_large"),
        ([slot(3, 1), slot(3, 1)], "counters_not_increasing"),
        ([slot(3, 1), slot(2, 1)], "counters_not_increasing"),
        ([slot(3, 0)], "wrong_layer"),
        ([slot(3, 2)], "wrong_layer"),
    ],
)
def test_slots_are_each_ones_own_once_and_in_their_layer(slots: Sequence[VotingEligibility], fault: str | None) -> None:
    assert vrf.slot_layer(slot(0, 1).sig, 3, 4) == 13
    checks, found = proofs_to_check(ballot(13, *slots), Standing(BEACON, 10), 7, TIME)
    assert (None if found is None else found.reason) == fault
    assert len(checks) == len(slots) - (fault in ("counter_too_large", "counters_not_increasing"))


def judged(one: Ballot, first: BallotFacts | None = None) -> int | str:
    """The slots that a ballot is judged by, or why it is refused. Of a weight of 100 in 1000 there are 20."""
    try:
        return standing(one, ROW, 1000, first, EpochId(3), TIME, 50, ()).slots
    except BallotRejected as error:
        return error.reason


def test_as_many_slots_are_claimed_as_the_weight_gives() -> None:
    assert [judged(ballot(13, claimed=claimed)) for claimed in (19, 20, 21)] == [
        "wrong_eligibility_count",
        20,
        "wrong_eligibility_count",
    ]


@pytest.mark.parametrize(
    ("layer", "expected"), [(11, "ref_ballot_other_epoch"), (12, 8), (15, 8), (16, "ref_ballot_other_epoch")]
)
def test_a_first_ballot_entitles_in_its_own_epoch(layer: int, expected: int | str) -> None:
    first = BallotFacts(REFERENCE, LayerId(layer), ATX, ME, BEACON, 8)
    assert judged(ballot(13), first) == expected


def vote(id: bytes, layer: int) -> Vote:
    return Vote(BlockId(id * 20), LayerId(layer), 1)


def refusal(votes: Votes) -> str | None:
    """Of a ballot of layer 20, where hdist is 4."""
    try:
        check_votes(votes, LayerId(20), 4, 3)
    except BallotRejected as error:
        return error.reason
    return None


def test_two_blocks_of_a_layer_are_supported_where_hare_no_longer_counts() -> None:
    for layer, expected in ((15, None), (16, None), (17, "double_vote"), (19, "double_vote")):
        votes = Votes(EMPTY_BALLOT_ID, (vote(b"a", layer), vote(b"b", layer)))
        assert refusal(votes) == expected


def test_nobody_votes_for_and_against_one_block() -> None:
    assert refusal(Votes(EMPTY_BALLOT_ID, (vote(b"a", 9),), (vote(b"b", 9),))) is None
    assert refusal(Votes(EMPTY_BALLOT_ID, (vote(b"a", 9),), (vote(b"a", 9),))) == "conflicting_exceptions"


def test_so_many_blocks_are_supported() -> None:
    for count, expected in ((3, None), (4, "too_many_exceptions")):
        votes = Votes(EMPTY_BALLOT_ID, tuple(vote(bytes([number]), number) for number in range(1, count + 1)))
        assert refusal(votes) == expected


def test_an_activation_is_good_that_everybody_has_had_for_long() -> None:
    for received, expected in ((59, 1), (60, 0), (69, 0)):
        atxs = AtxColumns()
        atxs.add(EpochId(3), replace(ROW, received=received))
        assert len(graded(atxs.epoch(EpochId(3)), (), 100, 10).ids) == expected
