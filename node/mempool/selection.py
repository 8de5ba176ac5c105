"""Which transactions go into a proposal, which is a node's own affair, and into a block, on which all must agree.

Protocol 07-vm-and-transactions, section 8; 05-consensus, section 8.2.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from node.mempool.account import MAX_PER_NONCE, AccountCache, Tagged
from node.mempool.shuffle import shuffle
from node.mempool.transaction import PoolTransaction
from protocol.crypto.hashing import hash_of_list
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address, ProposalId, as_hash32


def best_first(waiting: Mapping[Address, Sequence[PoolTransaction]], gas_limit: int) -> Iterator[PoolTransaction]:
    """Transactions for a proposal: the highest fee first, each account's nonces in their order.

    An account whose turn it is with more gas than is left is passed over altogether.
    """
    queue = [_rank(own, 0) for own in waiting.values() if own]
    heapq.heapify(queue)
    while queue and gas_limit >= 1:
        _, _, _, place, own = queue[0]
        transaction = own[place]
        if transaction.max_gas > gas_limit:
            heapq.heappop(queue)
            continue
        gas_limit -= transaction.max_gas
        if place + 1 < len(own):
            heapq.heapreplace(queue, _rank(own, place + 1))
        else:
            heapq.heappop(queue)
        yield transaction


def for_proposal(
    waiting: Mapping[Address, Sequence[PoolTransaction]], gas_limit: int, count: int, seed: bytes
) -> list[PoolTransaction]:
    """At most `count` transactions for a proposal.

    Where there are more, the best ones in an order that the seed (32 random bytes) decides, so that the proposals of
    a layer do not all begin alike; nonces of an account stay in their order.
    """
    popped = list(best_first(waiting, gas_limit))
    return popped if len(popped) <= count else shuffled(popped[:count], seed)


def block_seed(proposals: Iterable[ProposalId]) -> bytes:
    """32 bytes that decide the order within the block of these proposals."""
    return hash_of_list(as_hash32(proposal) for proposal in sorted(proposals))


def for_block(transactions: Iterable[Tagged], seed: bytes, gas_limit: int = 0) -> list[PoolTransaction]:
    """The transactions of a block in their order.

    transactions: in the order of the hare's output, each with the layer in which it was applied, 0 where it was not.
    gas_limit: smaller than all of their gas cuts the block; 0: no limit, as in optimistic mode.
    """
    by_principal: dict[Address, dict[int, list[Tagged]]] = defaultdict(lambda: defaultdict(list))
    for tagged in transactions:
        same_nonce = by_principal[tagged[0].principal][tagged[0].nonce]
        if len(same_nonce) < MAX_PER_NONCE:
            same_nonce.append(tagged)
    candidates: list[PoolTransaction] = []
    for by_nonce in by_principal.values():
        account = AccountCache(0, MASK)
        account.fill((tagged for nonce in sorted(by_nonce) for tagged in by_nonce[nonce]), seed)
        candidates += (candidate.transaction for candidate in account.waiting())
    ordered = shuffled(candidates, seed)
    return _pruned(ordered, gas_limit) if gas_limit else ordered


def shuffled(transactions: Sequence[PoolTransaction], seed: bytes) -> list[PoolTransaction]:
    """All of them in the order that the seed decides, those of one principal by nonce."""
    places = sorted(transactions, key=lambda transaction: transaction.id)
    shuffle(places, seed)
    own: dict[Address, list[PoolTransaction]] = defaultdict(list)
    for transaction in sorted(transactions, key=lambda transaction: transaction.nonce, reverse=True):
        own[transaction.principal].append(transaction)
    return [own[place.principal].pop() for place in places]


def _rank(own: Sequence[PoolTransaction], place: int) -> tuple[int, int, bytes, int, Sequence[PoolTransaction]]:
    transaction = own[place]
    return -transaction.fee, transaction.received, transaction.id, place, own


def _pruned(transactions: list[PoolTransaction], gas_limit: int) -> list[PoolTransaction]:
    """The network cuts only where the gas is used up exactly: below zero its count wraps around, and all goes in."""
    left = gas_limit
    for place, transaction in enumerate(transactions):
        if left < 1:
            return transactions[:place]
        left = left - transaction.max_gas & MASK
    return transactions
