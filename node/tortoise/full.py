"""Full mode: every vote of every ballot counts for the block that it is for.

Slower, but able to decide where honest ballots disagree with us or with each other. Ballots with one chain of votes
are counted together, and chains that meet go on as one. Protocol 06-tortoise, section 8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from node.tortoise.state import BallotInfo, State
from node.tortoise.thresholds import crosses, decide, global_threshold
from node.tortoise.votes import AGAINST, NEUTRAL, SUPPORT, Block, LayerVotes, Sign, walk
from protocol.types.ids import LayerId

WeightAtHeight = dict[int, int]
"""Raw weight of the ballots whose ATX ends at a height."""


class Full:
    """The counters of full mode; the margins stand in the blocks. Mutable."""

    def __init__(self, state: State, counted: LayerId) -> None:
        self._state = state
        self.is_on = False
        self.counted = counted
        """The newest layer whose ballots were counted in this mode."""
        self._delayed: dict[LayerId, list[BallotInfo]] = {}
        """Ballots with another beacon, by the layer in which they will be counted."""

    def count(self, ballots: Iterable[BallotInfo]) -> None:
        """Count the votes of ballots; those with another beacon when their time has come."""
        heads: dict[LayerId, dict[LayerVotes, WeightAtHeight]] = {}
        state = self._state
        for ballot in ballots:
            if ballot.has_bad_beacon:
                due = LayerId(ballot.layer + state.parameters.bad_beacon_delay)
                if due > state.last:
                    self._delayed.setdefault(due, []).append(ballot)
                    continue
            if ballot.is_malicious or ballot.votes is None:
                continue
            weights = heads.setdefault(ballot.votes.layer, {}).setdefault(ballot.votes, {})
            height = ballot.reference.height
            weights[height] = weights.get(height, 0) + ballot.weight
        if not heads:
            return
        at: dict[LayerVotes, WeightAtHeight] = {}
        for number in range(max(heads), state.evicted, -1):
            for votes, weights in heads.pop(LayerId(number), {}).items():
                _merge(at, votes, weights)
            below: dict[LayerVotes, WeightAtHeight] = {}
            for votes, weights in at.items():
                self._count_layer(votes, weights)
                if votes.below is not None:
                    _merge(below, votes.below, weights)
            at = below
            if not at and not heads:
                return

    def _count_layer(self, votes: LayerVotes, weights: WeightAtHeight) -> None:
        if votes.is_abstain:
            return
        layer = self._state.layer(votes.layer)
        for height, weight in weights.items():
            supports_some = False
            for block in layer.blocks:
                if block.height > height:
                    break
                if any(block is one for one in votes.supported):
                    supports_some = True
                    block.margin += weight
                else:
                    block.margin -= weight
            layer.empty += -weight if supports_some else weight

    def count_delayed(self, layer: LayerId) -> None:
        """Count the ballots that have waited for a layer."""
        self.count(self._delayed.pop(layer, ()))

    def count_late_block(self, block: Block) -> None:
        """Everybody who voted on a block's layer without knowing the block voted against it."""
        votes_against: dict[LayerVotes, bool] = {}
        for number in range(block.layer + 1, self.counted + 1):
            for ballot in self._state.layer(number).ballots:
                if ballot.votes is None or block.height > ballot.reference.height:
                    continue
                is_against = votes_against.get(ballot.votes)
                if is_against is None:
                    is_against = votes_against[ballot.votes] = _votes_on(ballot.votes, block.layer)
                if is_against:
                    block.margin -= ballot.weight

    def verify(self, number: LayerId) -> tuple[bool, bool]:
        """Decide about a layer: whether it is decided, whether a block of it has changed."""
        threshold = global_threshold(self._state, number)
        layer = self._state.layer(number)
        is_empty = crosses(layer.empty, threshold) == SUPPORT
        if not layer.blocks:
            return is_empty, False

        def decision(block: Block) -> Sign:
            found = crosses(block.margin, threshold)
            return AGAINST if found == NEUTRAL and is_empty else found

        return decide(layer.blocks, decision)


def _merge(into: dict[LayerVotes, WeightAtHeight], votes: LayerVotes, weights: WeightAtHeight) -> None:
    known = into.get(votes)
    if known is None:
        into[votes] = weights
        return
    merged = defaultdict(int, known)
    for height, weight in weights.items():
        merged[height] += weight
    into[votes] = dict(merged)


def _votes_on(votes: LayerVotes, layer: LayerId) -> bool:
    """Whether a chain has a vote on a layer that is not to abstain."""
    for one in walk(votes):
        if one.layer <= layer:
            return one.layer == layer and not one.is_abstain
    return False
