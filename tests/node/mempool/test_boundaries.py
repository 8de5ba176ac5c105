"""What all nodes have to make of the same proposals."""

from __future__ import annotations

from node.mempool.account import UNTAGGED, AccountCache
from node.mempool.selection import block_seed
from node.mempool.shuffle import shuffle
from protocol.types.ids import ProposalId

from .test_mempool import pooled

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


def test_what_an_earlier_transaction_spends_a_later_one_does_not_have() -> None:
    account = AccountCache(0, 100)
    for nonce, spend in enumerate((5, 30, 30)):  # and a fee of 10 each
        assert account.add(pooled(nonce, nonce=nonce, spend=spend), UNTAGGED)
    assert [one.post_balance for one in account.candidates] == [85, 45, 5]
    assert account.add(pooled(9, nonce=0, price=2, spend=5), UNTAGGED)
    assert [(one.nonce, one.post_balance) for one in account.candidates] == [(0, 75), (1, 35)]


def test_an_account_has_a_hundred_nonces() -> None:
    account = AccountCache(0, 10**6)
    account.fill((pooled(nonce, nonce=nonce), UNTAGGED) for nonce in range(150))
    assert len(account.candidates) == 100 and account.more_in_store
