"""Rewards, for those who ask from outside. Specified in protocol 10-api, sections 3.3 and 4."""

from __future__ import annotations

from collections.abc import Iterator

from node.ledger.tables import REWARDS, REWARDS_BY_COINBASE, REWARDS_BY_SMESHER
from node.store.errors import WHAT_TO_DO, StoreDamaged
from node.store.view import View
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.transactions import Reward

from .pages import ALL, ANY, Layers, Page


def page(
    view: View,
    *,
    smesher: NodeId | None = None,
    coinbase: Address | None = None,
    layers: Layers = ANY,
    is_descending: bool = False,
    page: Page = ALL,
) -> Iterator[Reward]:
    """Rewards of one smesher, or to one coinbase, or all, in the order of layers; those of a layer by smesher.

    Raises StoreFault; ValueError where both are given.
    """
    for key in page.of(_keys(view, smesher, coinbase, layers, is_descending)):
        reward = view.get(REWARDS, key)
        if reward is None:
            raise StoreDamaged(f"A reward of layer {key[0]} is listed, but it is not stored. {WHAT_TO_DO}")
        yield reward


def _keys(
    view: View, smesher: NodeId | None, coinbase: Address | None, layers: Layers, is_descending: bool
) -> Iterator[tuple[LayerId, NodeId]]:
    _require_one(smesher, coinbase)
    if smesher is not None:
        return (key for _, key in view.find(REWARDS_BY_SMESHER, layers.span(smesher, is_descending=is_descending)))
    if coinbase is not None:
        return (key for _, key in view.find(REWARDS_BY_COINBASE, layers.span(coinbase, is_descending=is_descending)))
    return view.keys(REWARDS, layers.span(is_descending=is_descending))


def _require_one(smesher: NodeId | None, coinbase: Address | None) -> None:
    if smesher is not None and coinbase is not None:
        raise ValueError("rewards are asked for by smesher or by coinbase, not by both")
