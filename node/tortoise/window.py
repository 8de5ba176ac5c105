"""The window: layers that are old enough are forgotten, with their ballots and with the votes on what lies below.

Protocol 06-tortoise, section 10.2.
"""

from __future__ import annotations

from node.tortoise.state import Layer, State
from node.tortoise.votes import LayerVotes, walk
from protocol.types.ids import LayerId

CUT_INTERVAL = 64
"""Layers of eviction after which all chains of votes are cut at the window, not only those of its first layer."""


def first_kept(state: State) -> LayerId | None:
    """The first layer of the window, where something below it can be forgotten now."""
    parameters = state.parameters
    if state.verified <= parameters.effective_genesis + parameters.hdist:
        return None
    window = parameters.window(state.verified)
    if state.verified < window:
        return None
    start = LayerId(state.verified - window)
    if start <= state.evicted or (state.pending != 0 and state.pending < start):
        return None
    return start


def forget_below(state: State, start: LayerId) -> None:
    """Forget all layers below one."""
    length = state.parameters.layers_per_epoch
    for number in range(state.evicted + 1, start):
        layer = state.layers.pop(LayerId(number), None)
        if layer is not None:
            for ballot in layer.ballots:
                del state.ballots[ballot.id]
            layer.previous = None  # else every layer that ever was would stay
            layer.ballots, layer.bases, layer.blocks, layer.opinions = [], {}, [], {}
        if number % length == length - 1:
            epoch = state.epoch_of(number)
            state.epochs.pop(epoch, None)
            state.atxs.evict(epoch)
    state.evicted = LayerId(start - 1)
    cut(state, state.layer(start), set())
    if start % CUT_INTERVAL == 0:
        seen: set[LayerVotes] = set()
        for layer in state.layers.values():
            cut(state, layer, seen)


def cut(state: State, layer: Layer, seen: set[LayerVotes]) -> None:
    """Let go of a layer's votes below the window; the newest of them stay, as hashes stand on them."""
    for chain in layer.opinions.values():
        for votes in walk(chain):
            if votes in seen:
                break
            seen.add(votes)
            if votes.layer <= state.evicted:
                votes.below = None
