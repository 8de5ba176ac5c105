"""What makes a certificate: one seat more or less, one layer, one proof."""

from __future__ import annotations

from dataclasses import replace

from node.certificates.collected import Collected, LayerMessages, belonging
from protocol.types.certificates import Certificate
from protocol.types.ids import EMPTY_BLOCK_ID, LayerId

from .test_machine import KEYS, LAYER, SEATS, A, B, Node, signed, word


def collected(count: int) -> Collected:
    messages = LayerMessages()
    for key in KEYS[:count]:
        messages.add(word(key))
    return messages.of(A)


def test_a_certificate_has_as_many_seats_as_the_threshold() -> None:
    found = collected(2)
    seats = sum(SEATS[key.identity] for key in KEYS[:2])
    assert found.seats == seats
    assert [found.certificate(A, threshold) is not None for threshold in (seats, seats + 1)] == [True, False]
    third = word(KEYS[2])
    with_third = seats + third.content.eligibility_count
    assert [found.certificate(A, limit, third) is not None for limit in (with_third, with_third + 1)] == [True, False]


def test_entries_are_of_one_layer_and_block_and_of_each_smesher_one() -> None:
    good, other_layer, other_block = word(KEYS[0]), word(KEYS[1], layer=LayerId(LAYER + 1)), word(KEYS[2], B)
    again = replace(good, content=replace(good.content, eligibility_count=99))
    certificate = Certificate(A, (good, other_layer, other_block, again))
    assert belonging(certificate, LAYER) == [good]


def test_seats_count_only_with_a_proof_of_ones_own() -> None:
    entries = [word(key) for key in KEYS]
    borrowed = signed(KEYS[0], entries[1].content)
    assert Node().fetched(Certificate(A, [borrowed, *entries[1:]])) == ("ignore", "certificate_below_threshold")
    assert Node().fetched(Certificate(A, entries)) == ("accept", "")


def test_no_certificate_is_made_of_a_block_that_hare_did_not_come_to_here() -> None:
    for block, is_made in ((None, False), (B, False), (A, True)):
        node = Node()
        if block is not None:
            node.hare_output(block)
        for key in KEYS:
            assert node.gossip(word(key)) == ("accept", "")
        assert (node.row() is not None) is is_made


def test_of_two_certified_blocks_tortoise_follows_neither() -> None:
    node = Node()
    for block, verdict in ((A, ("accept", "")), (B, ("ignore", "multiple_valid_certificates"))):
        assert node.fetched(Certificate(block, [word(key, block) for key in KEYS])) == verdict
    assert node.tortoise.told == [(LAYER, EMPTY_BLOCK_ID)]
