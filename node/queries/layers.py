"""Layers, for those who ask from outside. Specified in protocol 10-api, sections 3.2 and 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from node.hare.tables import WEAK_COINS
from node.ledger import state
from node.ledger.tables import LAYERS
from node.mesh.tables import BLOCKS_BY_LAYER, MESH_HASHES, PROCESSED
from node.store.keys import ONLY
from node.store.view import BACKWARDS, Span, View
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, Hash32, LayerId

from .pages import ALL, ANY, Layers, Page


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is known of a layer."""

    layer: LayerId
    is_applied: bool
    is_processed: bool
    """By tortoise."""
    block: BlockId | None
    """With which it was applied; zeros where it has none, None where it was not applied."""
    state_hash: Hash32 | None
    """None where it was not applied."""
    mesh_hash: Hash32 | None
    """Our opinion on all layers up to this one; None where it was not applied."""
    weak_coin: bool | None
    """None where none was tossed."""

    @property
    def has_block(self) -> bool:
        """Whether it was applied with a block."""
        return self.block is not None and self.block != EMPTY_BLOCK_ID


def facts(view: View, layer: LayerId) -> LayerFacts:
    """What is known of a layer, also of one of which nothing is. Raises StoreFault."""
    applied = view.get(LAYERS, layer)
    last = state.last_applied(view)
    return LayerFacts(
        layer,
        last is not None and layer <= last,
        layer <= processed(view),
        None if applied is None else applied.block,
        None if applied is None else applied.state_hash,
        view.get(MESH_HASHES, layer),
        view.get(WEAK_COINS, layer),
    )


def processed(view: View) -> LayerId:
    """The last layer that tortoise has counted; -1 where there is none. Raises StoreFault."""
    found = view.get(PROCESSED, ONLY)
    return LayerId(-1) if found is None else found


def newest(view: View, genesis: LayerId) -> LayerId:
    """The newest layer of which anything is known, the effective genesis where there is none. Raises StoreFault."""
    coin = view.first(WEAK_COINS, BACKWARDS)
    found = (genesis, processed(view), state.last_applied(view), None if coin is None else coin[0])
    return max(layer for layer in found if layer is not None)


def blocks(view: View, layer: LayerId) -> list[BlockId]:
    """The blocks of a layer that are stored, ascending. Raises StoreFault."""
    return [id for _, id in view.find(BLOCKS_BY_LAYER, Span(within=layer))]


def page(
    view: View, genesis: LayerId, layers: Layers = ANY, is_descending: bool = False, page: Page = ALL
) -> Iterator[LayerFacts]:
    """Layers from the effective genesis to the newest one; a layer with several blocks comes once for each of them.

    Raises StoreFault.
    """
    first = max(genesis, layers.first or 0)
    last = newest(view, genesis) if layers.last is None else min(layers.last, newest(view, genesis))
    for layer in page.of(_rows(view, first, last, is_descending)):
        yield facts(view, layer)


def _rows(view: View, first: int, last: int, is_descending: bool) -> Iterator[LayerId]:
    """Every layer, as often as it has blocks, at least once."""
    if first > last:
        return
    groups = groupby(view.find(BLOCKS_BY_LAYER, Span(start=first, last=last, reverse=is_descending)), itemgetter(0))
    upcoming = next(groups, None)
    for layer in range(last, first - 1, -1) if is_descending else range(first, last + 1):
        if upcoming is None or upcoming[0] != layer:
            yield LayerId(layer)
            continue
        for layer_of_block, _ in upcoming[1]:
            yield layer_of_block
        upcoming = next(groups, None)
