"""Seats and slots where they turn: one more or less, one layer, one epoch."""

from __future__ import annotations

import pytest

from node.eligibility.active_set import target_epoch
from node.eligibility.committee import Stake, counts, is_count
from node.eligibility.slots import MinimalWeight, minimal_weight, slot_count
from protocol.crypto import vrf
from protocol.numbers.layers import NetworkTime
from protocol.types.eligibility import (
    EligibilityType,
    ProposalEligibilityVrfMessage,
    voting_input,
)
from protocol.types.ids import Beacon, EpochId, LayerId, VrfSignature

BEACON = Beacon(b"\1\2\3\4")


def test_nobody_has_a_seat_more_or_less_than_was_drawn() -> None:
    for byte in range(0, 256, 15):
        stake = Stake(30, VrfSignature(bytes(79) + bytes([byte])))
        (count,) = counts(20, 100, [stake])
        assert [is_count(20, 100, stake, count + more) for more in (-1, 0, 1)] == [False, True, False]


def test_the_slots_of_a_weight() -> None:
    assert slot_count(100, 1000, 0, 50, 4) == 20
    assert slot_count(100, 1000, 2000, 50, 4) == 10, "the least weight of an active set counts where there is less"
    assert slot_count(100, 1000, 999, 50, 4) == 20
    assert slot_count(1, 1_000_000, 0, 50, 4) == 1, "everybody has one"


def test_a_least_weight_counts_from_its_epoch_on() -> None:
    entries = [MinimalWeight(EpochId(3), 10), MinimalWeight(EpochId(5), 20)]
    assert [minimal_weight(entries, EpochId(epoch)) for epoch in (2, 3, 4, 5, 6)] == [0, 10, 10, 20, 20]


@pytest.mark.parametrize(
    ("layer", "epoch"), [(8, 2), (9, 2), (12, 2), (13, 2), (14, 3), (15, 3), (16, 3), (17, 3), (18, 4)]
)
def test_the_set_of_the_epoch_before_counts_for_so_many_layers(layer: int, epoch: int) -> None:
    assert target_epoch(NetworkTime(0, 1, 4), 2, LayerId(layer)) == epoch


def test_the_proof_of_a_slot_is_about_one_slot_of_one_epoch() -> None:
    message = ProposalEligibilityVrfMessage.codec.decode(voting_input(BEACON, EpochId(7), 9, 3))
    assert message == ProposalEligibilityVrfMessage(EligibilityType.VOTING, BEACON, EpochId(7), 9, 3)


def test_a_slot_lies_where_the_first_bytes_of_its_proof_say() -> None:
    assert vrf.slot_layer(b"\5" + bytes(79), 7, 4) == 29
    assert vrf.slot_layer(b"\0\1" + bytes(78), 7, 10) == 76
