"""Which transactions are taken, by the way they come."""

from __future__ import annotations

import pytest

from node.errors import NodeError
from node.ledger.machine import Vm
from node.mempool import reception
from node.mempool.pool import Mempool
from node.mempool.reception import Verdict
from node.mempool.store import MemoryStore
from protocol.types.ids import Address, TransactionId
from protocol.types.transactions import RawTx
from tests.support import vm_world as world

W1, W2 = world.wallet(1), world.wallet(2)
GOOD = W1.spend(W2.address, 5, 3)
UNSIGNED = GOOD[:-1] + b"\0"
FREE = W1.spend(W2.address, 5, 3, 0)
POOR = W1.spend(W2.address, 10**9, 3)
OLD = W1.spend(W2.address, 5, 2)
UNSPAWNED = W2.spend(W1.address, 5, 0)
NONSENSE = b"\xff" * 100
NOBODY = TransactionId(bytes(32))


def node() -> tuple[Vm, Mempool, MemoryStore]:
    vm, ledger = world.machine([W1.spawned(10**9, 3)])
    store = MemoryStore()

    def state_of(address: Address) -> tuple[int, int]:
        account = ledger.account(address)
        return (0, 0) if account is None else (account.next_nonce, account.balance)

    return vm, Mempool(store, state_of), store


def id_of(raw: bytes) -> TransactionId:
    return RawTx.of(raw).id


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (UNSIGNED, "not_signed"),
        (FREE, "no_fee"),
        (W1.spend(W2.address, 5, 3, 1 << 63), "no_fee"),
        (POOR, "insufficient_balance"),
        (OLD, "bad_nonce"),
        (UNSPAWNED, "not_spawned"),
        (NONSENSE, "malformed"),
    ],
)
def test_what_is_not_taken_is_not_relayed_and_nobody_is_dropped(raw: bytes, reason: str) -> None:
    vm, pool, store = node()
    with pytest.raises(NodeError) as caught:
        reception.submit(vm, pool, raw, 0)
    assert caught.value.reason == reason
    found = reception.from_gossip(vm, pool, raw, 0, is_own=False, is_synced=True, is_known=False)
    assert found.verdict is Verdict.IGNORE and found.reason == str(caught.value)
    assert not store.has(id_of(raw))


def test_a_good_transaction_is_taken_and_relayed() -> None:
    vm, pool, store = node()
    found = reception.from_gossip(vm, pool, GOOD, 7, is_own=False, is_synced=True, is_known=False)
    assert found == reception.ACCEPTED
    (waiting,) = pool.waiting()[W1.address]
    assert (waiting.id, waiting.raw, waiting.received_ns) == (id_of(GOOD), GOOD, 7)
    assert store.has(id_of(GOOD))


@pytest.mark.parametrize(
    ("is_own", "is_synced", "is_known", "verdict"),
    [
        (True, True, False, Verdict.ACCEPT),
        (True, False, True, Verdict.ACCEPT),
        (False, False, False, Verdict.IGNORE),
        (False, True, True, Verdict.IGNORE),
    ],
)
def test_gossip_that_is_not_looked_into(is_own: bool, is_synced: bool, is_known: bool, verdict: Verdict) -> None:
    vm, pool, store = node()
    found = reception.from_gossip(vm, pool, GOOD, 0, is_own=is_own, is_synced=is_synced, is_known=is_known)
    assert found.verdict is verdict
    assert not store.has(id_of(GOOD))


def test_a_peer_that_answers_with_another_transaction_is_dropped() -> None:
    vm, pool, store = node()
    for raw in (GOOD, UNSIGNED):
        found = reception.for_proposal(vm, pool, raw, 0, requested=NOBODY, is_known=False)
        assert found.verdict is Verdict.REJECT and "incorrect hash" in found.reason
    assert reception.for_proposal(vm, pool, NONSENSE, 0, requested=NOBODY, is_known=False).verdict is Verdict.IGNORE
    assert reception.for_proposal(vm, pool, GOOD, 0, requested=NOBODY, is_known=True).verdict is Verdict.ACCEPT
    assert not store.has(id_of(GOOD))
    found = reception.for_proposal(vm, pool, GOOD, 0, requested=id_of(GOOD), is_known=False)
    assert found.verdict is Verdict.ACCEPT and store.has(id_of(GOOD))


def test_a_blocks_transactions_are_stored_whatever_they_are() -> None:
    vm, pool, _ = node()
    for raw, has_header in ((GOOD, True), (UNSIGNED, False), (UNSPAWNED, False), (NONSENSE, False), (POOR, True)):
        found = reception.for_block(vm, raw, requested=id_of(raw), is_known=False)
        assert found.verdict is Verdict.ACCEPT and found.to_store is not None
        assert found.to_store.raw == RawTx.of(raw)
        assert (found.to_store.header is not None) == has_header
    assert reception.for_block(vm, GOOD, requested=NOBODY, is_known=False).verdict is Verdict.REJECT
    assert reception.for_block(vm, GOOD, requested=NOBODY, is_known=True) == reception.ACCEPTED
    assert not pool.waiting()
