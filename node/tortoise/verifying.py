"""Verifying mode: only ballots that agree with us count, and they count for everything below them at once.

A ballot whose opinion is ours in the layer before it is good. The weight of all good ballots above a layer, less all
that is expected and not seen, has to exceed the global threshold. What is kept is the weight that each layer adds; the
specification's `good_uncounted` of a layer is the sum up to it.

Nearly all layers of the window were verified long ago and stay so. They are the settled ones: outside hdist, with a
decision on every block that nothing has touched since. For them only the threshold can change, and it is looked at
with floats for all of them together; exact arithmetic has the word where the floats are close.
Protocol 06-tortoise, section 7.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from node.tortoise.parameters import ADVERSARIAL_FRACTION
from node.tortoise.state import BallotInfo, Layer, State
from node.tortoise.thresholds import crosses, decide, expected_weight, global_threshold
from node.tortoise.votes import NEUTRAL, SUPPORT, Block, Sign
from protocol.numbers.layers import MAX_LAYER
from protocol.types.ids import EpochId, LayerId

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]

NEVER = LayerId(MAX_LAYER)
"""No layer at all, as the lowest of those that have changed."""

CLOSE = 1e-9
"""Of the largest weight that enters: below this difference floats do not decide. Their error is a thousandth of it."""


class Verifying:
    """The counters of verifying mode. Mutable."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.total_good = 0
        """Weight of the good ballots of all processed layers."""
        self._added: dict[LayerId, int] = {}
        """What the good ballots of a layer weigh, where there are any."""
        self._weights = _Weights()
        """The same as floats."""
        self.settled = state.evicted
        """All layers up to this one are settled."""
        self.lacking_data: set[LayerId] = set()
        """Settled layers with a valid block that is not here."""

    def good_uncounted(self, layer: LayerId) -> int:
        """Weight of the good ballots of all layers up to a processed one."""
        return self.total_good - sum(
            self._added.get(LayerId(above), 0) for above in range(layer + 1, self._state.processed + 1)
        )

    def count(self, ballots: Iterable[BallotInfo], layer: LayerId) -> None:
        """Count ballots of one layer, of which it is known whether their beacon is ours."""
        before = self._state.layer(layer - 1)
        opinion, height = before.opinion, before.ref_height
        added = 0
        for ballot in ballots:
            votes = ballot.votes
            if (
                votes is not None
                and votes.opinion == opinion
                and not ballot.has_bad_beacon
                and ballot.reference.height >= height
            ):
                added += ballot.weight
        if added:
            self.total_good += added
            added += self._added.get(layer, 0)
            self._added[layer] = added
            self._weights.set(layer, float(added))

    def forget_above(self, layer: LayerId) -> None:
        """No ballot above a layer is counted."""
        for above in range(layer + 1, self._state.processed + 1):
            if (added := self._added.pop(LayerId(above), 0)) != 0:
                self.total_good -= added
                self._weights.set(above, 0.0)

    def evict(self, start: LayerId) -> None:
        """Layers below `start` are forgotten; their weight stays in the sums."""
        for layer in [layer for layer in self._added if layer < start]:
            del self._added[layer]
        self._weights.drop_below(start)
        self.lacking_data = {layer for layer in self.lacking_data if layer >= start}
        self.settled = max(self.settled, LayerId(start - 1))

    def unsettle(self, layer: LayerId) -> None:
        """Something that decides about a layer has changed."""
        if layer <= self.settled:
            self.settled = LayerId(layer - 1)

    def run(self) -> tuple[LayerId, LayerId]:
        """Verify the layers one after another, as far as it goes: the last one, the lowest with blocks that changed."""
        state = self._state
        self.settled = max(self.settled, state.evicted)
        verified, changed = self._run_settled()
        if verified < self.settled:
            return verified, changed
        target = LayerId(self.settled + 1)
        if target >= state.processed:
            return verified, changed
        good = self.good_uncounted(target)
        while target < state.processed:
            layer = state.layer(target)
            is_decided, has_changed = self._verify(layer, good)
            if not is_decided:
                break
            if has_changed:
                changed = min(changed, target)
            elif target == self.settled + 1 and target <= state.verified and not state.is_within_hdist(target):
                self._settle(layer)
            verified = target
            target = LayerId(target + 1)
            good += self._added.get(target, 0)
        return verified, changed

    def _settle(self, layer: Layer) -> None:
        self.settled = layer.number
        if all(block.data or block.validity != SUPPORT for block in layer.blocks):
            self.lacking_data.discard(layer.number)
        else:
            self.lacking_data.add(layer.number)

    def _verify(self, layer: Layer, good_uncounted: int) -> tuple[bool, bool]:
        if not layer.hare_terminated or not self._crosses(layer.number, good_uncounted):
            return False, False
        state, ref_height = self._state, layer.ref_height

        def decision(block: Block) -> Sign:
            return NEUTRAL if block.height > ref_height else state.local_vote(block, state.last)

        return decide(layer.blocks, decision)

    def _crosses(self, layer: LayerId, good_uncounted: int) -> bool:
        """Whether the good ballots above a layer are enough, even if all that is missing were against it."""
        margin = self.total_good - good_uncounted
        missing = expected_weight(self._state, layer) - margin
        if missing > 0:
            margin -= missing
        return crosses(margin, global_threshold(self._state, layer)) == SUPPORT

    def _run_settled(self) -> tuple[LayerId, LayerId]:
        state = self._state
        first, count = state.evicted + 1, min(self.settled, state.processed - 1) - state.evicted
        if count <= 0:
            return state.evicted, NEVER
        close = self._not_decided_by_floats(first, count)
        for index in close:
            layer = LayerId(first + int(index))
            if not self._crosses(layer, self.good_uncounted(layer)):
                return LayerId(layer - 1), NEVER
        return LayerId(first + count - 1), NEVER

    def _not_decided_by_floats(self, first: int, count: int) -> Integers:
        """Which of `count` settled layers, from `first` on, do not clearly cross the threshold: indices, ascending."""
        state = self._state
        newest = LayerId(first + count - 1)
        above = float(self.total_good - self.good_uncounted(newest))
        added = self._weights.between(first, newest + 1)
        margin = above + (np.cumsum(added[::-1])[::-1] - added)
        expected = self._expected(np.arange(first, newest + 1))
        margin -= np.maximum(expected - margin, 0.0)
        surplus = margin - (expected / ADVERSARIAL_FRACTION + state.local_threshold)
        scale = max(float(self.total_good), float(expected.max()), float(state.local_threshold))
        return np.flatnonzero(surplus <= CLOSE * scale)

    def _expected(self, targets: Integers) -> Floats:
        """The expected weight of many layers, ascending without a gap."""
        state = self._state
        length = state.parameters.layers_per_epoch
        windows = np.full(len(targets), state.parameters.window_size)
        for historical in reversed(state.parameters.historical_windows):
            windows[(targets >= historical.start) & (targets <= historical.end)] = historical.window
        until = np.where(state.last - targets > windows, np.maximum(targets + windows, state.processed), state.last)
        layers = np.arange(targets[0] + 1, max(state.last, int(until.max())) + 1)
        epochs = layers // length
        weights = [state.epoch(EpochId(epoch)).weight / length for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)]
        total = np.concatenate(([0.0], np.cumsum(np.array(weights)[epochs - epochs[0]])))
        expected: Floats = total[until - targets[0]] - total[targets - targets[0]]
        return expected


class _Weights:
    """A float for each layer from some layer on, zero where none was set."""

    def __init__(self) -> None:
        self._first = 0
        self._values: Floats = np.zeros(0)

    def set(self, layer: int, value: float) -> None:
        if not len(self._values):
            self._first = layer
        if layer < self._first:
            self._values = np.concatenate((np.zeros(self._first - layer), self._values))
            self._first = layer
        index = layer - self._first
        if index >= len(self._values):
            self._values = np.concatenate((self._values, np.zeros(index + 64)))
        self._values[index] = value

    def drop_below(self, layer: int) -> None:
        """Forget the layers below, now or when it is worth the copy."""
        unused = layer - self._first
        if unused > len(self._values) // 2:
            self._values = self._values[unused:].copy()
            self._first = layer

    def between(self, start: int, stop: int) -> Floats:
        """The floats of layers `start` to `stop` - 1, where `start` was not dropped."""
        found = np.zeros(stop - start)
        begin, end = max(start, self._first), min(stop, self._first + len(self._values))
        if begin < end:
            found[begin - start : end - start] = self._values[begin - self._first : end - self._first]
        return found
