"""The transactions that an account pays, in the order of their nonces. Specified in protocol 10-api, section 3.2."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter

from node.ledger.tables import PAID_BY
from node.mempool.tables import PENDING
from node.store.errors import WHAT_TO_DO, StoreDamaged
from node.store.view import Span, View
from protocol.types.ids import Address, TransactionId

from .pages import ANY, Layers
from .transactions import KnownTransaction, find


def by_nonce(view: View, principal: Address, places: range, layers: Layers = ANY) -> Iterator[KnownTransaction]:
    """Those at some places: first what layers within the bounds have applied, then what none has, whatever the bounds.

    Layers apply an account's transactions by their nonces; those of one layer are read and brought into that order, all
    others are passed over by their keys. Raises StoreFault.
    """
    place = 0
    applied = view.find(PAID_BY, layers.span(principal))
    for _, same in groupby(applied, key=itemgetter(0)):
        ids = [id for _, id in same]
        begin, place = place, place + len(ids)
        if place <= places.start:
            continue
        if begin >= places.stop:
            return
        known = sorted((_listed(view, id) for id in ids), key=_nonce)
        yield from known[max(0, places.start - begin) : places.stop - begin]
    waiting = view.keys(PENDING, Span(within=(principal,)))
    for *_, id in islice(waiting, max(0, places.start - place), max(0, places.stop - place)):
        yield _listed(view, id)


def _nonce(known: KnownTransaction) -> int:
    return 0 if known.header is None else known.header.nonce


def _listed(view: View, id: TransactionId) -> KnownTransaction:
    known = find(view, id)
    if known is None:
        raise StoreDamaged(f"Transaction {id.hex()} is listed, but it is not stored. {WHAT_TO_DO}")
    return known
