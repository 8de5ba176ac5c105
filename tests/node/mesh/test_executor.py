"""Blocks applied and reverted: ledger and mempool in one unit, with one last applied layer."""

from __future__ import annotations

import pytest

from node.ledger import state
from node.ledger.errors import LayerRefused
from node.mempool import transactions as stored
from node.mempool.pool import Mempool
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.ids import AtxId, TransactionId
from tests.support.vm_world import FIRST, transactions

from .world import BEFORE, REWARDS, W1, W2, Node, block


def ids_of(*raws: bytes) -> tuple[TransactionId, ...]:
    return tuple(one.raw.id for one in transactions(raws))


def test_blocks_are_applied_in_the_order_of_layers() -> None:
    raw = W1.spend(W2.address, 1, 0)
    node = Node.with_transactions(raw)
    before = node.kept.everything()
    for layer, text in ((FIRST - 1, "applied already"), (FIRST + 1, f"before layer {FIRST}")):
        with pytest.raises(LayerRefused) as caught:
            node.apply(layer, None)
        assert caught.value.reason == "not_in_order" and text in str(caught.value)
    assert node.kept.everything() == before
    one = block(FIRST, *ids_of(raw))
    changes = node.apply(FIRST, one)
    result = node.machine.result(changes.executed[0].id)
    assert result is not None and result.block == one.id()
    again = node.apply(FIRST + 1, block(FIRST + 1, *ids_of(raw)))
    assert (again.executed, again.ineffective) == ((), ()), "what is applied already is left out"


def test_a_block_with_something_unknown_is_not_applied() -> None:
    raw = W1.spend(W2.address, 1, 0)
    for known, rewards, reason in (
        ([], REWARDS, "missing_transaction"),
        ([raw], (AnyReward(AtxId(bytes(32)), RatNum(1, 1)),), "missing_atx"),
    ):
        node = Node.with_transactions(*known)
        before = node.kept.everything()
        with pytest.raises(LayerRefused) as caught:
            node.apply(FIRST, InnerBlock(FIRST, 9, rewards, ids_of(raw)))
        assert caught.value.reason == reason
        assert node.kept.everything() == before


def test_an_optimistic_block_holds_what_was_executed() -> None:
    raws = [W1.spend(W2.address, 1, 0), W1.spend(W2.address, 2, 0), W1.spend(W2.address, 10**12, 1)]
    ids = ids_of(*raws)
    node = Node.with_transactions(*raws)
    with node.kept.view() as view:
        made, applied = node.executor.apply_optimistically(view, FIRST, 9, REWARDS, ids)
        node.kept.write(applied.rows)
    assert made.tx_ids == (ids[0], ids[2])
    other = Node.with_transactions(*raws)
    assert other.apply(FIRST, made).state_hash == applied.changes.state_hash
    assert node.machine.accounts() == other.machine.accounts()
    assert node.machine.result(ids[2]) == other.machine.result(ids[2])


def test_a_transaction_that_came_without_a_header_has_one_once_it_is_executed() -> None:
    raw = W1.spend(W2.address, 1, 0)
    node = Node.with_transactions(raw)
    (id,) = ids_of(raw)
    assert not node.kept.read(lambda view: stored.has(view, id, with_header=True))
    node.apply(FIRST, block(FIRST, id))
    assert node.kept.read(lambda view: stored.has(view, id, with_header=True))
    assert node.kept.read(lambda view: list(stored.by_principal(view))) == []


def test_what_is_applied_waits_no_longer_and_what_is_reverted_waits_again() -> None:
    node = Node.with_transactions()
    first, second = (node.submit(W1.spend(W2.address, 5, nonce)) for nonce in (0, 1))
    node.link_proposal(FIRST, first)
    assert node.waiting() == [second]
    rows = node.kept.everything()

    node.apply(FIRST, block(FIRST, first))
    assert node.waiting() == [second] and not node.pool.has(first)
    assert node.kept.read(lambda view: node.pool.projection(view, W1.address))[0] == 2
    node.apply(FIRST + 1, None)
    assert node.machine.last_applied() == FIRST + 1

    node.revert(BEFORE)
    assert node.machine.last_applied() == BEFORE
    assert node.pool.has(first) and node.waiting() == [second], "its proposal is found again"
    left = node.kept.everything()
    assert {key: value for key, value in left.items() if key in rows} == rows
    assert len(left) == len(rows) + 1, "the last applied layer is known now, nothing else"
    assert node.apply(FIRST, block(FIRST, first)).executed[0].failure == ""


def test_a_restart_finds_what_was_in_memory() -> None:
    node = Node.with_transactions()
    ids = [node.submit(W1.spend(W2.address, 5, nonce)) for nonce in range(4)]
    node.apply(FIRST, block(FIRST, *ids[:2]))
    restarted = Mempool()
    node.kept.read(restarted.start)
    assert restarted.waiting() == node.pool.waiting()
    assert restarted.account(W1.address) == node.pool.account(W1.address)


def test_the_mempool_follows_the_ledgers_last_applied_layer() -> None:
    """Each with one of its own, a stop between the two writes set them apart for ever."""
    node = Node.with_transactions()
    node.submit(W1.spend(W2.address, 5, 0))
    with node.kept.view() as view:
        node.executor.apply(view, FIRST, None)  # and the node stops here: nothing is written
    restarted = Node.on(node.machine.vm, node.kept.backend)
    assert restarted.machine.last_applied() is None
    restarted.apply(FIRST, None)
    restarted.apply(FIRST + 1, None)
    assert restarted.kept.read(state.last_applied) == FIRST + 1
