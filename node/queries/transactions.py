"""Transactions, for those who ask from outside. Specified in protocol 10-api, sections 3.2, 3.4 and 4.

In the order of layers; those of one layer by their ids, and those that no layer has applied before all layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from heapq import merge
from itertools import chain, groupby, islice
from operator import itemgetter

from node.ledger import state as ledger
from node.ledger.tables import LAYERS, PAID_BY, RESULTS, TOUCHED
from node.mempool.account import MAX_PER_NONCE
from node.mempool.tables import PENDING, TRANSACTIONS, UNAPPLIED, StoredTransaction
from node.mempool.transaction import PoolTransaction
from node.mempool.transactions import pooled
from node.store.errors import WHAT_TO_DO, StoreDamaged
from node.store.table import Index
from node.store.view import Span, View
from protocol.types.ids import ADDRESS_SIZE, Address, BlockId, LayerId, TransactionId
from protocol.types.transactions import TransactionResult, TxHeader

from .pages import ALL, ANY, Layers, Page

_LAYER_END = ADDRESS_SIZE + 4
"""Of an entry that begins with an address and a layer; the rest is the id."""


@dataclass(frozen=True, slots=True)
class KnownTransaction:
    """A transaction and what became of it."""

    id: TransactionId
    stored: StoredTransaction
    result: TransactionResult | None
    """None: no layer has applied it."""

    @property
    def raw(self) -> bytes:
        """The signed bytes."""
        return self.stored.raw

    @property
    def header(self) -> TxHeader | None:
        """None: it came in a block and was not valid then."""
        return self.stored.header

    @property
    def layer(self) -> LayerId | None:
        """In which it was applied."""
        return None if self.result is None else self.result.layer

    @property
    def block(self) -> BlockId | None:
        """With which it was applied."""
        return None if self.result is None else self.result.block


class State(Enum):
    """What became of a transaction."""

    UNKNOWN = "unknown"
    """It never came here."""
    WAITING = "waiting"
    """No layer has applied it; it may still be applied."""
    INSUFFICIENT_FUNDS = "insufficient funds"
    """The same, but its account cannot pay for it as it stands now."""
    CONFLICTING = "conflicting"
    """The same, but another one with its nonce is preferred."""
    REJECTED = "rejected"
    """It came in a block, and was not valid."""
    INEFFECTUAL = "ineffectual"
    """No layer has applied it, and none will: another one had its nonce."""
    APPLIED = "applied"
    """A layer has executed it; the result says how it went."""


def find(view: View, id: TransactionId) -> KnownTransaction | None:
    """A transaction by its id; None where it never came. Raises StoreFault."""
    stored = view.get(TRANSACTIONS, id)
    return None if stored is None else KnownTransaction(id, stored, view.get(RESULTS, id))


def state(view: View, known: KnownTransaction | None) -> State:
    """What became of what `find` gave. Raises StoreFault."""
    if known is None:
        return State.UNKNOWN
    if known.result is not None:
        return State.APPLIED
    if known.header is None:
        return State.REJECTED
    one = PoolTransaction.of_header(known.id, known.raw, known.header, known.stored.received)
    next_nonce, balance = ledger.nonce_and_balance(view, one.principal)
    if one.nonce < next_nonce:
        return State.INEFFECTUAL
    if one.spending > balance:
        return State.INSUFFICIENT_FUNDS
    return State.CONFLICTING if _is_outdone(view, one, balance) else State.WAITING


def _is_outdone(view: View, one: PoolTransaction, balance: int) -> bool:
    """Whether another waiting transaction of the same nonce is preferred, and can be paid for."""
    same_nonce = view.keys(PENDING, Span(within=(one.principal, one.nonce)))
    others = (pooled(view, id) for *_, id in islice(same_nonce, MAX_PER_NONCE) if id != one.id)
    return any(other.spending <= balance and other.is_better_than(one) for other in others)


def page(
    view: View,
    *,
    address: Address | None = None,
    ids: Sequence[TransactionId] = (),
    layers: Layers = ANY,
    is_descending: bool = False,
    page: Page = ALL,
) -> Iterator[KnownTransaction]:
    """Transactions that meet all of the filters. Raises StoreFault.

    address: an account that was touched, the principal among them; those that no layer has applied have touched none.
    ids: none of them is no filter. layers: bounds leave out what no layer has applied.
    """
    if ids:
        found = [one for one in (find(view, id) for id in dict.fromkeys(ids)) if _meets(one, address, layers)]
        ordered = sorted((one for one in found if one is not None), key=partial(_order, is_descending))
        yield from page.of(ordered)
        return
    entries = _applied(view, address, layers, is_descending)
    if address is None and layers.is_all:
        waiting = view.keys(UNAPPLIED)
        parts = (entries, waiting) if is_descending else (waiting, entries)
        entries = chain(*parts)
    for id in page.of(entries):
        yield _listed(view, id)


def results(
    view: View, *, address: Address | None = None, id: TransactionId | None = None, layers: Layers = ANY
) -> Iterator[KnownTransaction]:
    """Applied transactions that meet all of the filters, layers ascending, then ids. Raises StoreFault."""
    if id is not None:
        known = find(view, id)
        if known is not None and known.result is not None and _meets(known, address, layers):
            yield known
        return
    for one in _applied(view, address, layers, is_descending=False):
        yield _listed(view, one)


def of_principal(view: View, principal: Address, layers: Layers = ANY, page: Page = ALL) -> Iterator[KnownTransaction]:
    """The transactions that an account pays: those that no layer has applied by their nonces, whatever the bounds, then
    those that layers within the bounds have applied. Raises StoreFault."""
    pending = (id for *_, id in view.keys(PENDING, Span(within=(principal,))))
    applied = (id for _, id in view.find(PAID_BY, layers.span(principal)))
    for id in page.of(chain(pending, applied)):
        yield _listed(view, id)


def _applied(view: View, address: Address | None, layers: Layers, is_descending: bool) -> Iterator[TransactionId]:
    if address is None:
        span = Span(start=layers.first, last=layers.last, reverse=is_descending)
        for _, applied in view.scan(LAYERS, span):
            yield from sorted(applied.transactions)
        return
    walk = partial(_of_account, view, address, layers, is_descending)
    for _, id in merge(walk(PAID_BY), walk(TOUCHED)):
        yield id


def _of_account(
    view: View,
    address: Address,
    layers: Layers,
    is_descending: bool,
    index: Index[tuple[Address, LayerId], TransactionId, TransactionResult],
) -> Iterator[tuple[int, TransactionId]]:
    """The entries of one account, each with a number by which they ascend."""
    start, stop = layers.span(address).bounds(index.key)
    entries = view.pairs(index, start, stop, is_descending)
    # taken apart by hand: an offset passes over many
    found = ((raw[ADDRESS_SIZE:_LAYER_END], TransactionId(raw[_LAYER_END:])) for raw, _ in entries)
    if not is_descending:
        for layer, id in found:
            yield int.from_bytes(layer, "big"), id
        return
    for layer, same in groupby(found, key=itemgetter(0)):
        for _, id in reversed(list(same)):
            yield -int.from_bytes(layer, "big"), id


def _meets(known: KnownTransaction | None, address: Address | None, layers: Layers) -> bool:
    if known is None:
        return False
    result = known.result
    if result is None:
        return address is None and layers.is_all
    return (address is None or address in result.addresses) and result.layer in layers


def _order(is_descending: bool, known: KnownTransaction) -> tuple[int, TransactionId]:
    place = -1 if known.layer is None else known.layer
    return -place if is_descending else place, known.id


def _listed(view: View, id: TransactionId) -> KnownTransaction:
    """A transaction to which an entry leads."""
    known = find(view, id)
    if known is None:
        raise StoreDamaged(f"Transaction {id.hex()} is listed, but it is not stored. {WHAT_TO_DO}")
    return known
