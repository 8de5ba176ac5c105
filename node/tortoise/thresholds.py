"""How much weight decides: what is expected from the layers above one, thresholds, and the decision on its blocks.

All weights are raw 72.56 numbers, signed. Protocol 06-tortoise, sections 7 and 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from node.tortoise.parameters import ADVERSARIAL_FRACTION, LOCAL_THRESHOLD_FRACTION
from node.tortoise.state import State
from node.tortoise.votes import AGAINST, NEUTRAL, SUPPORT, Block, Sign
from protocol.numbers import fixed
from protocol.types.ids import EpochId, LayerId


@lru_cache(maxsize=4096)
def divided(weight: int, by: int) -> int:
    """A weight, not negative, divided by an integer, as the network rounds it."""
    return fixed.divide_magnitudes(weight, by << fixed.FRACTION_BITS)


def local_threshold(epoch_weight: int, layers_per_epoch: int) -> int:
    """What decides our vote on a layer that is neither verified nor within hdist."""
    return divided(divided(epoch_weight, LOCAL_THRESHOLD_FRACTION), layers_per_epoch)


def expected_weight_between(state: State, target: int, last: int) -> int:
    """The weight of all layers after the target, up to and with the last one."""
    length = state.parameters.layers_per_epoch
    first_epoch, first = divmod(target + 1, length)
    last_epoch, ordinal = divmod(last, length)
    if first_epoch == last_epoch:
        return divided(state.epoch(EpochId(first_epoch)).weight * (last - target), length)
    weight = divided(state.epoch(EpochId(first_epoch)).weight * (length - first), length)
    for epoch in range(first_epoch + 1, last_epoch):
        weight += state.epoch(EpochId(epoch)).weight
    return weight + divided(state.epoch(EpochId(last_epoch)).weight * (ordinal + 1), length)


def horizon(state: State, target: LayerId) -> int:
    """The last layer whose ballots are expected to vote on the target."""
    window = state.parameters.window(target)
    if state.last - target > window:
        return max(target + window, state.processed)
    return state.last


def expected_weight(state: State, target: LayerId) -> int:
    """The weight that is expected to vote on a layer."""
    return expected_weight_between(state, target, horizon(state, target))


def global_threshold(state: State, target: LayerId) -> int:
    """What the margin of a block has to exceed to decide about it."""
    return divided(expected_weight(state, target), ADVERSARIAL_FRACTION) + state.local_threshold


def crosses(margin: int, threshold: int) -> Sign:
    """What a margin decides."""
    if margin > 0:
        return SUPPORT if margin > threshold else NEUTRAL
    return AGAINST if -margin > threshold else NEUTRAL


def decide(blocks: Sequence[Block], decision_of: Callable[[Block], Sign]) -> tuple[bool, bool]:
    """Decide about all blocks of a layer, the lowest first, and note it in them: whether all are, whether any changed.

    An undecided block above a supported one is decided against; any other leaves the whole layer undecided, with
    nothing noted.
    """
    decisions = []
    supported_height: int | None = None
    for block in blocks:
        decision = decision_of(block)
        if decision == NEUTRAL:
            if supported_height is None or block.height <= supported_height:
                return False, False
            decision = AGAINST
        elif decision == SUPPORT:
            supported_height = block.height
        decisions.append(decision)
    has_changed = False
    for block, decision in zip(blocks, decisions, strict=True):
        if block.validity != decision:
            block.validity = decision
            has_changed = True
    return True, has_changed
