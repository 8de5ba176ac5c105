"""Rules of hare where they turn: one seat, one layer, one round, one message more or less."""

from __future__ import annotations

import pytest

from node.hare import exchange
from node.hare.gossip import Gossip, HareInput
from node.hare.parameters import FIRST, CommitteeUpgrade, HareParameters, delay, grade
from node.hare.protocol import HareProtocol, reference_of
from protocol.numbers.durations import SECOND
from protocol.types.hare import HareRound, IterRound
from protocol.types.ids import CompactProposalId, Hash32, LayerId
from tests.node.hare.words import proposal

from .test_gossip import IDS, message

PROPOSE = IterRound(0, HareRound.PROPOSE)
A, B = IDS[:2]


def parameters(committee: int = 50) -> HareParameters:
    upgrade = CommitteeUpgrade(LayerId(20), 400)
    return HareParameters(True, LayerId(0), LayerId(99), "h", committee, 10, 3, SECOND, SECOND, upgrade)


def test_more_than_half_of_the_committee_decides() -> None:
    assert [parameters(committee).threshold(LayerId(1)) for committee in (1, 2, 49, 50, 51)] == [1, 2, 25, 26, 26]


def test_the_committee_has_its_new_size_from_the_layer_of_the_upgrade_on() -> None:
    assert [parameters().committee_for(LayerId(layer)) for layer in (19, 20, 21)] == [50, 400, 400]


def test_as_many_propose_as_there_are_leaders() -> None:
    found = [parameters().seats(LayerId(1), round) for round in HareRound]
    assert found == [10 if round == HareRound.PROPOSE else 50 for round in HareRound]


def test_the_round_that_the_first_iteration_leaves_out_delays_nobody() -> None:
    assert [delay(IterRound(0, round), FIRST) for round in (0, 2, 3, 4)] == [0, 1, 2, 3]
    assert [delay(IterRound(0, round), PROPOSE) for round in (2, 3, 4, 5)] == [0, 0, 1, 2]


def test_a_grade_is_counted_in_eight_bits() -> None:
    later = [IterRound(0, 3), IterRound(0, 4), IterRound(1, 1), IterRound(1, 2), IterRound(1, 3)]
    assert [grade(received, PROPOSE) for received in later] == [6, 5, 1, 0, 255]


@pytest.mark.parametrize(("rounds_late", "expected"), [(2, []), (3, [1]), (4, [2])])
def test_a_leader_that_contradicts_himself_loses_by_how_late_it_is_seen(rounds_late: int, expected: list[int]) -> None:
    gossip = Gossip(1)
    gossip.receive(PROPOSE, message(1, PROPOSE, A))
    gossip.receive(IterRound(0, PROPOSE.round + rounds_late), message(1, PROPOSE, B, body=1))
    assert [one.grade for one in gossip.gradecast(PROPOSE)] == expected


def test_a_value_needs_one_honest_voter_besides_the_seats() -> None:
    for liars, expected in (([1, 2], []), ([1], [A])):
        gossip = Gossip(2)
        for sender in (1, 2):
            gossip.receive(FIRST, message(sender, FIRST, A, is_malicious=sender in liars))
        assert list(gossip.proposals(FIRST, 5)) == expected


def test_the_coin_is_that_of_the_smallest_proof() -> None:
    for proofs, expected in (((3, 4), True), ((4, 3), True), ((8, 9), False)):
        protocol = HareProtocol(2)
        for sender, proof in enumerate(proofs):
            protocol.on_input(message(sender, FIRST, A, proof=proof))
        assert [protocol.next().coin, protocol.next().coin] == [None, expected]


def committed(proposed: HareInput, locked: Hash32 | None = None) -> Hash32 | None:
    """To what a member commits that knows of A and B from everybody, and of one proposal."""
    protocol = HareProtocol(2)
    for sender in (1, 2):
        protocol.on_input(message(sender, FIRST, A, B))
    while protocol.next_round != PROPOSE:
        protocol.next()
    protocol.on_input(proposed)
    protocol.locked = locked
    while (output := protocol.next()).executed.round != HareRound.COMMIT:
        pass
    return None if output.said is None else output.said.reference


def test_a_proposal_has_everything_that_everybody_is_known_to_have() -> None:
    assert committed(message(3, PROPOSE, A, B)) == reference_of((A, B))
    assert committed(message(3, PROPOSE, A)) is None


def test_who_holds_on_to_a_set_commits_to_no_other() -> None:
    own = reference_of((A, B))
    assert committed(message(3, PROPOSE, A, B), own) == own
    assert committed(message(3, PROPOSE, A, B), reference_of((A,))) is None


def test_the_list_behind_short_ids_ascends_whatever_their_order() -> None:
    known = [proposal(1, compact=b"aaaa"), proposal(2, compact=b"bbbb")]
    ascending = tuple(sorted(one.id for one in known))
    for short in ((b"aaaa", b"bbbb"), (b"bbbb", b"aaaa")):
        assert exchange.matched(exchange.by_short_id(known), [CompactProposalId(one) for one in short]) == ascending
