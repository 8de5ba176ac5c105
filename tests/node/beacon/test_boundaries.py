"""Rules of the beacon where they turn: one unit of weight, one nanosecond, one bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from node.beacon.coin import WeakCoin
from node.beacon.epochs import EpochAtxs, EpochState
from node.beacon.reports import Reports
from node.beacon.thresholds import voting_threshold
from node.beacon.votes import Class, ProposalFacts, classify, decode_bits, encode_bits, own_votes
from node.contract.instants import Instant
from protocol.numbers import fixed
from protocol.types.ids import BallotId, Beacon, NodeId, RoundId, VrfSignature

from .test_machine import PARAMETERS

A, B, C = b"aaaa", b"bbbb", b"cccc"
HONEST, LIAR = NodeId((1).to_bytes(32, "big")), NodeId((2).to_bytes(32, "big"))


def epoch() -> EpochState:
    """An honest smesher of weight 8, and one of weight 4 that broke the rules; A was proposed."""
    nodes = np.array([[0, 0, 0, 1], [0, 0, 0, 2]], np.uint64)
    atxs = EpochAtxs(nodes, np.array([8, 4], np.uint64), np.zeros(2, np.int64), np.array([False, True]))
    found = EpochState(PARAMETERS, atxs, Instant(10**12))
    found.margins = {A: 0, B: 0}
    return found


def test_theta_is_cut_off_and_a_margin_that_reaches_it_decides() -> None:
    assert [voting_threshold(Fraction(1, 4), weight) for weight in (7, 8, 11, 12)] == [1, 2, 2, 3]
    found = own_votes({A: 2, B: 1, C: -2}, Fraction(1, 4), 8)
    assert (found.support, found.against, found.undecided) == ({A}, {C}, {B})


def test_the_weight_of_who_broke_the_rules_is_not_in_the_total() -> None:
    assert epoch().weight == 8


def test_votes_of_who_broke_the_rules_weigh_nothing() -> None:
    found = epoch()
    assert found.vote_first(LIAR, [A], [B]) and found.vote(LIAR, b"\3") is None
    assert found.margins == {A: 0, B: 0}
    assert found.vote_first(HONEST, [A], [B])
    assert found.margins == {A: 8, B: -8}
    assert found.vote(HONEST, b"\2") is None
    assert found.margins == {A: 0, B: 0}


def test_a_smesher_votes_once_a_round() -> None:
    found = epoch()
    assert [found.register_vote(HONEST, RoundId(round)) for round in (0, 0, 1, 1)] == [True, False, True, False]
    assert found.register_vote(LIAR, RoundId(0))


def test_the_first_vote_has_the_lowest_bit_of_the_last_byte() -> None:
    many = [bytes((0, 0, 0, number)) for number in range(10)]
    bits = encode_bits(many, {many[0], many[9]})
    assert bits == b"\2\1"
    assert decode_bits(many, bits)[0] == {many[0], many[9]}


@pytest.mark.parametrize(
    ("atx_late", "proposal_late", "number", "expected"),
    [
        (0, 0, 9, Class.VALID),
        (0, 0, 10, Class.POTENTIALLY_VALID),
        (1, 0, 9, Class.POTENTIALLY_VALID),
        (0, 1, 9, Class.POTENTIALLY_VALID),
        (5, 5, 19, Class.POTENTIALLY_VALID),
        (5, 5, 20, Class.INVALID),
        (6, 0, 9, Class.INVALID),
        (0, 6, 9, Class.INVALID),
    ],
)
def test_what_a_proposal_is_worth(atx_late: int, proposal_late: int, number: int, expected: Class) -> None:
    facts = ProposalFacts(VrfSignature(number.to_bytes(80, "big")), atx_late, proposal_late)
    assert classify(facts, grace=5, threshold=20, strict_threshold=10) is expected


def test_the_coin_is_that_of_the_smallest_proof() -> None:
    for numbers, expected in (((4, 3, 8), True), ((3, 4), True), ((9, 8), False)):
        coin = WeakCoin(3)
        coin.start_round(RoundId(1))
        taken = [coin.take(VrfSignature(number.to_bytes(80, "little"))) for number in numbers]
        assert taken == [number == min(numbers[: place + 1]) for place, number in enumerate(numbers)]
        coin.finish_round()
        assert coin.coins == {RoundId(1): expected}


def test_of_beacons_with_equal_weight_the_smallest_counts() -> None:
    reports = Reports(2)
    for number, beacon in enumerate((b"bbbb", b"aaaa", b"cccc")):
        reports.add(BallotId(bytes([number]) * 20), Beacon(beacon), fixed.from_int(5), 1)
    assert reports.beacon() == b"aaaa"
    reports.add(BallotId(b"d" * 20), Beacon(b"cccc"), fixed.from_int(1), 1)
    assert reports.beacon() == b"cccc"


def test_a_proposal_of_who_broke_the_rules_is_never_valid() -> None:
    found = epoch()
    proof = VrfSignature(bytes(80))
    assert found.propose(LIAR, proof, Instant(0)) is Class.POTENTIALLY_VALID
    assert found.propose(HONEST, proof, Instant(0)) is Class.VALID
