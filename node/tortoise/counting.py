"""Counting: what is processed layer by layer, what an opinion of ours that changed makes necessary, what is verified.

Both modes are driven from here; `Verifying` and `Full` hold their counters. Protocol 06-tortoise, sections 5.2, 6
and 10.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from node.tortoise import window
from node.tortoise.ballots import Decoded
from node.tortoise.errors import BallotRefused
from node.tortoise.full import Full
from node.tortoise.state import BallotInfo, Layer, State
from node.tortoise.thresholds import local_threshold
from node.tortoise.verifying import NEVER, Verifying
from node.tortoise.votes import AGAINST, Block, LayerVotes, walk
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, LayerId


class Counting:
    """State and counters, kept in step. Mutable."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.verifying = Verifying(state)
        self.full = Full(state, state.processed)
        self.retriable: deque[BallotInfo] = deque()
        """Ballots of processed layers whose epoch has no beacon yet."""

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        """Hare agreed on a block, or on none (EMPTY_BLOCK_ID). Any number of times, in any order."""
        state = self.state
        if layer <= state.evicted:
            return
        before = state.layer(layer).terminate(block)
        if before is not None and before == block:
            return
        if layer <= state.processed and state.is_within_hdist(layer):
            self.on_opinion_change(layer, early=True)

    def store(self, decoded: Decoded) -> None:
        """Keep a ballot, and count it where its layer is processed. Raises BallotRefused (exists)."""
        state, info = self.state, decoded.info
        if info.layer <= state.evicted:
            return
        if info.id in state.ballots:
            raise BallotRefused(f"ballot {info.id.hex()} is stored already", "exists")
        layer = state.layer(info.layer)
        layer.ballots.append(info)
        state.ballots[info.id] = info
        known = layer.opinions.get(info.opinion)
        if known is not None:
            info.votes = known
        elif info.votes is not None:
            self._unify(info.votes, decoded.lowest)
            layer.opinions[info.opinion] = info.votes
        if not info.is_malicious:
            layer.bases.setdefault(info.votes, info)
            layer.newest_base = info.votes
        if info.layer <= state.processed:
            self._count((info,), info.layer)

    def _unify(self, chain: LayerVotes, lowest: LayerId) -> None:
        """Replace the blocks of new votes by those that are known, and make the others known."""
        state = self.state
        for votes in walk(chain):
            if votes.layer < lowest or votes.layer <= state.evicted:
                return
            blocks = []
            for block in votes.supported:
                known = state.block(block)
                if known is None:
                    known = block
                    if not state.is_within_hdist(block.layer):
                        block.validity = block.hare = AGAINST
                    self.add_block(block)
                blocks.append(known)
            votes.supported = tuple(blocks)

    def add_block(self, block: Block) -> None:
        """A block that was not known is."""
        self.state.insert(block)
        self.verifying.unsettle(block.layer)
        self.full.count_late_block(block)

    def tally(self, last: LayerId) -> None:
        """Count everything up to a layer, and verify what can be verified."""
        state = self.state
        self.update_last(last)
        self._drain_retriable()
        for number in range(state.processed + 1, state.last + 1):
            self._process(LayerId(number))
        self._verify_layers()
        self.evict()

    def update_last(self, last: LayerId) -> None:
        """The newest layer is this one, if it is newer."""
        state = self.state
        if last > state.last:
            is_new_epoch = state.epoch_of(state.last) != state.epoch_of(last)
            state.last = last
            if is_new_epoch:
                self.update_local_threshold()

    def update_local_threshold(self) -> None:
        """The weight of the last layer's epoch is another one."""
        state = self.state
        weight = state.epoch(state.epoch_of(state.last)).weight
        state.local_threshold = local_threshold(weight, self.state.parameters.layers_per_epoch)

    def _drain_retriable(self) -> None:
        while self.retriable:
            ballot = self.retriable[0]
            if ballot.layer - 1 > self.state.evicted:
                if self.state.epoch(self.state.epoch_of(ballot.layer)).beacon is None:
                    return
                self._count((ballot,), ballot.layer)
            self.retriable.popleft()

    def _process(self, number: LayerId) -> None:
        state, parameters = self.state, self.state.parameters
        epoch = state.epoch_of(number)
        if number % parameters.layers_per_epoch == 0:
            state.epoch(epoch).height = state.atxs.median_height(epoch)
        layer = state.layer(number)
        for block in layer.blocks:
            state.raise_ref_height(layer, block)
        if number - 1 > state.evicted:
            layer.previous = state.layer(number - 1)
        state.processed = number
        if self.full.is_on:
            self.full.count_delayed(number)
            self.full.counted = number
        self._count(layer.ballots, number)
        if self.compute_opinion(layer):
            state.note_pending(state.last)
        if number > parameters.zdist:
            late = LayerId(number - parameters.zdist)
            if late > state.evicted and not state.layer(late).hare_terminated:
                self.on_hare_output(late, EMPTY_BLOCK_ID)
        if number > parameters.hdist and number - parameters.hdist > state.evicted:
            self.on_opinion_change(LayerId(number - parameters.hdist), early=True)

    def _count(self, ballots: Sequence[BallotInfo], layer: LayerId) -> None:
        """Count ballots of one layer; without a beacon to compare with they wait."""
        state = self.state
        if layer - 1 <= state.evicted or not ballots:
            return
        beacon = state.epoch(state.epoch_of(layer)).beacon
        if beacon is None:
            self.retriable.extend(ballots)
            return
        for ballot in ballots:
            ballot.has_bad_beacon = ballot.reference.beacon != beacon
        self.verifying.count(ballots, layer)
        if layer <= self.full.counted:
            self.full.count(ballots)

    def compute_opinion(self, layer: Layer) -> bool:
        """Compute our opinion of a layer anew; whether it is another one."""
        return layer.compute_opinion(self.state.is_within_hdist(layer.number))

    def on_opinion_change(self, start: LayerId, *, early: bool) -> None:
        """Our opinion of a layer may be another one: compute it and those that stand on it, and count anew.

        early: the first layer whose opinion is as before ends it.
        """
        state = self.state
        changed = NEVER
        for number in range(start, state.processed + 1):
            if self.compute_opinion(state.layer(number)):
                changed = min(changed, LayerId(number))
            elif early:
                break
        if changed == NEVER:
            return
        state.note_pending(changed)
        self.verifying.forget_above(start)
        for number in range(start + 1, state.processed + 1):
            self.verifying.count(state.layer(number).ballots, LayerId(number))

    def _run(self, verify: Callable[[LayerId], tuple[bool, bool]]) -> tuple[LayerId, LayerId]:
        state = self.state
        verified, changed = state.evicted, NEVER
        for number in range(state.evicted + 1, state.processed):
            target = LayerId(number)
            is_decided, has_changed = verify(target)
            if not is_decided:
                break
            if has_changed:
                changed = min(changed, target)
                self.verifying.unsettle(target)
            verified = target
        return verified, changed

    def _verify_layers(self) -> None:
        state, full = self.state, self.full
        newest = LayerId(state.processed - 1)
        if full.is_on:
            reached, changed = self._run(full.verify)
            by_verifying, changed_by_verifying = self.verifying.run()
            if reached == newest and reached == by_verifying:
                full.is_on = False
                changed = min(changed, changed_by_verifying)
        else:
            reached, changed = self.verifying.run()
            if not state.is_within_hdist(reached + 1):
                self._switch_to_full()
                reached, changed_by_full = self._run(full.verify)
                changed = min(changed, changed_by_full)
        # What is verified now, and from which layer on that is another result than before.
        lowest = state.evicted + 1
        verified = max(state.evicted, self.state.parameters.effective_genesis)
        if reached >= lowest:
            verified = min(reached, newest)
        if reached < newest and max(reached + 1, lowest) < state.verified:
            changed = min(changed, LayerId(max(reached + 1, lowest)))
        if verified > state.verified and reached >= lowest:
            changed = min(changed, LayerId(max(state.verified + 1, lowest)))
        if changed != NEVER:
            state.note_pending(changed)
            self.on_opinion_change(changed, early=False)
        if verified < state.verified:
            self.verifying.unsettle(LayerId(verified + 1))
        state.verified = verified

    def _switch_to_full(self) -> None:
        state, full = self.state, self.full
        full.is_on = True
        for number in range(max(full.counted, state.evicted) + 1, state.processed + 1):
            full.count(state.layer(number).ballots)
            full.count_delayed(LayerId(number))
            full.counted = LayerId(number)

    def evict(self) -> None:
        """Forget what is below the window."""
        start = window.first_kept(self.state)
        if start is not None:
            window.forget_below(self.state, start)
            self.verifying.evict(start)
