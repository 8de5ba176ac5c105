"""Activations, for those who ask from outside. Specified in protocol 10-api, sections 3.5 and 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.activation.tables import (
    ATXS,
    BY_COINBASE,
    BY_HEIGHT,
    BY_SMESHER,
    COLUMNS,
    COUNTS,
    StoredAtx,
)
from node.store.errors import WHAT_TO_DO, StoreDamaged
from node.store.view import BACKWARDS, Span, View
from protocol.types.ids import Address, AtxId, EpochId, NodeId

from .pages import ALL, Page

MAX_EPOCH = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class KnownAtx:
    """An activation."""

    id: AtxId
    stored: StoredAtx


def find(view: View, id: AtxId) -> KnownAtx | None:
    """An activation by its id; None where it is not here. Raises StoreFault."""
    stored = view.get(ATXS, id)
    return None if stored is None else KnownAtx(id, stored)


def page(
    view: View,
    *,
    smeshers: Sequence[NodeId] = (),
    ids: Sequence[AtxId] = (),
    coinbase: Address | None = None,
    first: EpochId | None = None,
    last: EpochId | None = None,
    page: Page = ALL,
) -> Iterator[KnownAtx]:
    """Activations that meet all of the filters, by publish epoch, then by id. Raises StoreFault.

    Empty lists are no filters. With one filter nothing is read but keys and what is given; with several, what the
    narrowest of them leads to.
    """
    low, high = min(first or 0, MAX_EPOCH + 1), MAX_EPOCH if last is None else min(last, MAX_EPOCH)
    if ids:
        found = [one for one in (find(view, id) for id in dict.fromkeys(ids)) if one is not None]
        known = [one for one in found if _meets(one.stored, smeshers, coinbase, low, high)]
        yield from page.of(sorted(known, key=lambda one: (one.stored.publish_epoch, one.id)))
        return
    if low > high:
        return
    if smeshers:
        entries = sorted(
            (epoch, id)
            for smesher in dict.fromkeys(smeshers)
            for (_, epoch), id in view.find(BY_SMESHER, Span((smesher,), start=(smesher, low), last=(smesher, high)))
        )
        keys = (id for _, id in entries)
        if coinbase is not None:
            met = (one for one in (_listed(view, id) for id in keys) if one.stored.coinbase == coinbase)
            yield from page.of(met)
            return
    elif coinbase is not None:
        span = Span((coinbase,), start=(coinbase, low), last=(coinbase, high))
        keys = (id for _, id in view.find(BY_COINBASE, span))
    else:
        keys = (id for _, id in view.keys(COLUMNS, Span(start=(low + 1,), last=(high + 1,))))
    for id in page.of(keys):
        yield _listed(view, id)


def count(view: View, epoch: EpochId | None = None) -> int:
    """How many were published, in an epoch or at all, those of malicious smeshers among them. Raises StoreFault."""
    if epoch is not None:
        return view.get(COUNTS, epoch) or 0
    return sum(number for _, number in view.scan(COUNTS))


def highest(view: View) -> KnownAtx | None:
    """The activation with the most ticks behind it, of the two newest epochs; None where there is none.

    Older epochs are left out, as by everybody who builds on the highest one. Raises StoreFault.
    """
    newest = view.first(COUNTS, BACKWARDS)
    if newest is None:
        return None
    tops = [
        next(view.find(BY_HEIGHT, Span(within=(epoch,), reverse=True)), None)
        for epoch in (newest[0], newest[0] - 1)
        if epoch >= 0
    ]
    _, id = max((top for top in tops if top is not None), key=lambda top: top[0][1])
    return _listed(view, id)


def _meets(stored: StoredAtx, smeshers: Sequence[NodeId], coinbase: Address | None, low: int, high: int) -> bool:
    if smeshers and stored.smesher not in smeshers:
        return False
    return (coinbase is None or stored.coinbase == coinbase) and low <= stored.publish_epoch <= high


def _listed(view: View, id: AtxId) -> KnownAtx:
    """An activation to which an entry leads."""
    known = find(view, id)
    if known is None:
        raise StoreDamaged(f"Activation {id.hex()} is listed, but it is not stored. {WHAT_TO_DO}")
    return known
