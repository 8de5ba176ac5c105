"""What all nodes have to make of the same proposals."""

from __future__ import annotations

from node.mempool.selection import block_seed
from node.mempool.shuffle import shuffle
from protocol.types.ids import ProposalId

IDS = [ProposalId(bytes([number]) * 20) for number in range(3)]


def test_the_seed_of_a_block_does_not_depend_on_the_order_of_its_proposals() -> None:
    assert block_seed(IDS) == block_seed(IDS[::-1]) != block_seed(IDS[:2])


def test_a_shuffle_leaves_some_in_their_place() -> None:
    """It is that of Fisher and Yates: of five, none stays in only a third of all orders."""
    stayed = 0
    for number in range(64):
        places = list(range(5))
        shuffle(places, number.to_bytes(8, "little"))
        assert sorted(places) == list(range(5))
        stayed += any(place == at for at, place in enumerate(places))
    assert stayed > 20
