"""The stored transactions: what is known of them, which of them wait, what holds them.

Functions of a View read; those of Rows add to what one unit writes. Protocol 07-vm-and-transactions, sections 7.1, 7.3
to 7.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from node.ledger.tables import RESULTS
from node.mempool.tables import HELD, IN_BLOCK, IN_PROPOSAL, PENDING, TRANSACTIONS, UNAPPLIED, StoredTransaction
from node.mempool.transaction import PoolTransaction
from node.store.errors import WHAT_TO_DO, StoreDamaged
from node.store.view import Rows, Span, View
from protocol.types.ids import NO_LAYER, Address, BlockId, LayerId, ProposalId, TransactionId
from protocol.types.transactions import Transaction


def get(view: View, id: TransactionId) -> StoredTransaction | None:
    """A transaction with the time of its reception; None where it never came."""
    return view.get(TRANSACTIONS, id)


def has(view: View, id: TransactionId, *, with_header: bool = False) -> bool:
    """Whether a transaction is known, or known and valid."""
    if not with_header:
        return view.has(TRANSACTIONS, id)
    found = view.get(TRANSACTIONS, id)
    return found is not None and found.header is not None


def put(rows: Rows, transaction: Transaction, received: int) -> None:
    """Keep a transaction. One that is known stays as it is, but for a header that it did not have."""
    id = transaction.raw.id
    known = rows.get(TRANSACTIONS, id)
    header = transaction.header
    if known is not None:
        if known.header is not None or header is None:
            return
        received = known.received
    rows.put(TRANSACTIONS, id, StoredTransaction(transaction.raw.raw, header, received))
    if rows.has(RESULTS, id):
        return
    rows.put(UNAPPLIED, id, None)
    if header is not None:
        rows.put(PENDING, (header.principal, header.nonce, received, id), None)


def set_applied(rows: Rows, transactions: Iterable[PoolTransaction]) -> None:
    """These wait no longer: a layer was applied that executes them."""
    for one in transactions:
        rows.delete(UNAPPLIED, one.id)
        rows.delete(PENDING, (one.principal, one.nonce, one.received, one.id))


def set_pending(rows: Rows, ids: Iterable[TransactionId]) -> None:
    """These wait again: the layer that executed them was reverted. Raises StoreDamaged where one is not there."""
    for id in ids:
        one = pooled(rows, id)
        rows.put(UNAPPLIED, id, None)
        rows.put(PENDING, (one.principal, one.nonce, one.received, id), None)


def pending(view: View, principal: Address, from_nonce: int) -> Iterator[PoolTransaction]:
    """Those of an account that no layer has applied, from a nonce on: nonces ascending, then by reception."""
    for *_, id in view.keys(PENDING, Span(within=(principal,), start=(principal, from_nonce))):
        yield pooled(view, id)


def by_principal(view: View) -> Iterator[tuple[Address, Iterator[tuple[int, TransactionId]]]]:
    """The accounts with pending transactions, ascending; of each, nonces and ids in the order of `pending`.

    All in one range: to begin one for each account takes longer than to read it. As with `groupby`, the transactions of
    an account are to be read before the next account is asked for.
    """
    for principal, keys in groupby(view.keys(PENDING), key=lambda key: key[0]):
        yield principal, ((nonce, id) for _, nonce, _, id in keys)


def link_proposal(rows: Rows, layer: LayerId, proposal: ProposalId, ids: Sequence[TransactionId]) -> None:
    """A proposal of a layer holds these transactions."""
    for id in ids:
        rows.put(HELD, (id, IN_PROPOSAL, layer, proposal), None)


def link_block(rows: Rows, layer: LayerId, block: BlockId, ids: Sequence[TransactionId]) -> None:
    """A block of a layer holds these transactions."""
    for id in ids:
        rows.put(HELD, (id, IN_BLOCK, layer, block), None)


def next_layer(view: View, id: TransactionId, after: LayerId) -> LayerId:
    """The next layer after one with a block that holds the transaction, else with a proposal; 0: none."""
    for _, _, layer, _ in view.keys(HELD, Span(within=(id,), start=(id, IN_BLOCK, after + 1))):
        if layer > after:
            return layer
    return NO_LAYER


def pooled(view: View, id: TransactionId) -> PoolTransaction:
    """A transaction that is listed. Raises StoreDamaged where it is not there with its header."""
    found = view.get(TRANSACTIONS, id)
    if found is None or found.header is None:
        raise StoreDamaged(
            f"Transaction {id.hex()} is listed as one that waits or was applied, but it is not stored with its header. "
            f"{WHAT_TO_DO}"
        )
    return PoolTransaction.of_header(id, found.raw, found.header, found.received)
