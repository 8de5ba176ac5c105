"""The tortoise as its users see it: what has happened goes in, which blocks are valid comes out.

| input | from |
|---|---|
| `on_atx`, `on_beacon`, `on_malfeasance`, `on_weak_coin` | the machines that know, as soon as they do |
| `on_block`, `on_hare_output` | blocks and certificates, in any order, again and again |
| `decode`, `store` | proposals and sync: a ballot is decoded, judged by them, and stored |
| `tally` | after each layer, and before a vote is cast |
| `on_applied` | the mesh, when it has taken a result |

Two modes, and a machine that is always in one of them:

| mode | counts | until |
|---|---|---|
| verifying | ballots that agree with us | the first layer that is not verified is hdist behind the last one |
| full | every vote on every block | both modes verify everything up to the last processed layer |

Protocol 06-tortoise.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.tortoise import encode
from node.tortoise.ballots import BallotFacts, Decoded, TortoiseBallot, decode_ballot
from node.tortoise.counting import Counting
from node.tortoise.errors import BallotRefused, CannotVote
from node.tortoise.full import Full
from node.tortoise.parameters import TortoiseParameters
from node.tortoise.results import LayerResult, result_of
from node.tortoise.state import AtxData, Layer, State
from node.tortoise.verifying import Verifying
from node.tortoise.votes import AGAINST, NEUTRAL, SUPPORT, Block
from protocol.numbers.fixed import FRACTION_BITS
from protocol.types.ballots import Opinion, Vote
from protocol.types.ids import AtxId, BallotId, Beacon, BlockId, EpochId, Hash32, LayerId, NodeId


class Tortoise:
    """The machine. Every call is a step; none of them waits or looks anything up outside."""

    def __init__(self, parameters: TortoiseParameters, atxs: AtxData) -> None:
        genesis = parameters.effective_genesis
        state = State(
            parameters,
            atxs,
            last=genesis,
            processed=genesis,
            evicted=LayerId(genesis - 1),
            verified=LayerId(0),
            pending=genesis,
        )
        state.epoch(state.epoch_of(genesis))
        self._parameters = parameters
        self._state = state
        self._counting = Counting(state)
        first = state.layer(genesis)
        first.hare_terminated = True
        self._counting.compute_opinion(first)

    # ---- what is known ----

    @property
    def parameters(self) -> TortoiseParameters:
        """What the network has in common."""
        return self._parameters

    @property
    def state(self) -> State:
        """Everything in memory; not to be changed."""
        return self._state

    @property
    def verifying(self) -> Verifying:
        """The counters of verifying mode; not to be changed."""
        return self._counting.verifying

    @property
    def full(self) -> Full:
        """The counters of full mode; not to be changed."""
        return self._counting.full

    @property
    def waiting_for_beacon(self) -> int:
        """Ballots that are stored, but not counted yet."""
        return len(self._counting.retriable)

    @property
    def verified(self) -> LayerId:
        """The newest layer up to which all are verified."""
        return self._state.verified

    @property
    def is_full(self) -> bool:
        """Whether the mode is full."""
        return self._counting.full.is_on

    def is_within_hdist(self, layer: LayerId) -> bool:
        """Whether our votes on a layer follow hare."""
        return self._state.is_within_hdist(layer)

    def ballot(self, id: BallotId) -> BallotFacts | None:
        """What a stored ballot says; None where it is unknown or evicted."""
        info = self._state.ballots.get(id)
        if info is None:
            return None
        of = info.reference
        return BallotFacts(id, info.layer, of.atx_id, of.smesher, of.beacon, of.total_eligibilities)

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those ATXs of an active set that are not known in the epoch."""
        return self._state.atxs.missing(epoch, ids)

    # ---- what has happened ----

    def on_atx(self, target: EpochId, node: NodeId, weight: int) -> None:
        """An ATX is active in an epoch. Raises ValueError for a weight of 2^63 or more."""
        if not 0 <= weight < 1 << 63:
            raise ValueError(f"weight of an ATX is {weight}, expected below 2^63")
        state = self._state
        epoch = state.epoch(target)
        if node not in state.malicious:
            epoch.weight += weight << FRACTION_BITS
        if target == state.epoch_of(state.last):
            self._counting.update_local_threshold()

    def on_beacon(self, epoch: EpochId, beacon: Beacon) -> None:
        """An epoch has its beacon."""
        state = self._state
        if epoch >= state.epoch_of(state.evicted + 1):
            state.epoch(epoch).beacon = beacon

    def on_malfeasance(self, node: NodeId) -> None:
        """An identity is malicious: what comes from it from now on has no weight."""
        self._state.malicious.add(node)

    def on_weak_coin(self, layer: LayerId, is_heads: bool) -> None:
        """The weak coin of a layer."""
        if layer > self._state.evicted:
            self._state.layer(layer).coin = SUPPORT if is_heads else AGAINST

    def on_block(self, vote: Vote, *, has_data: bool = True, is_valid: bool = False) -> None:
        """A block is here. is_valid: it was verified in an earlier run."""
        if vote.layer <= self._state.evicted:
            return
        known = self._state.block(vote)
        block = known or Block(vote.id, vote.layer, vote.height)
        block.data = has_data
        if is_valid:
            block.validity = SUPPORT
            self._counting.verifying.unsettle(vote.layer)
        if known is None:
            self._counting.add_block(block)
        elif vote.layer in self._counting.verifying.lacking_data:
            self._counting.verifying.unsettle(vote.layer)

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        """Hare agreed on a block, or on none (EMPTY_BLOCK_ID). Any number of times, in any order."""
        self._counting.on_hare_output(layer, block)

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        """The result of a layer was taken; whether our opinion is that one. If so it is not reported again."""
        state = self._state
        known = state.layers.get(layer)
        if known is None or known.opinion != opinion:
            return False
        before = state.pending
        state.pending = min(LayerId(layer + 1), state.processed)
        if state.pending != before:
            self._counting.evict()
        return True

    # ---- ballots ----

    def decode(self, ballot: TortoiseBallot) -> Decoded:
        """Unfold the votes of a ballot and compare them with what was signed; nothing is stored.

        Raises VotesRefused, BallotRefused.
        """
        decoded = decode_ballot(self._state, ballot, is_recovered=False)
        if decoded.info.opinion != ballot.opinion.hash:
            raise BallotRefused(
                f"ballot {ballot.id.hex()} of layer {ballot.layer} votes for opinion {decoded.info.opinion.hex()}, but "
                f"{ballot.opinion.hash.hex()} is signed",
                "hash_mismatch",
            )
        return decoded

    def store(self, decoded: Decoded, *, is_malicious: bool = False) -> None:
        """Keep and count a decoded ballot. Raises BallotRefused (exists)."""
        if is_malicious:
            decoded.info.is_malicious = True
        self._counting.store(decoded)

    def on_ballot(self, ballot: TortoiseBallot) -> None:
        """A ballot whose votes are as signed, for what has checked that. Raises VotesRefused, BallotRefused."""
        self._counting.store(decode_ballot(self._state, ballot, is_recovered=False))

    def on_recovered_ballot(self, ballot: TortoiseBallot) -> None:
        """A ballot that was stored in an earlier run: its base may be outside the window, its opinion is as signed.

        Raises VotesRefused, BallotRefused.
        """
        decoded = decode_ballot(self._state, ballot, is_recovered=True)
        if decoded.info.votes is not None:
            decoded.info.votes.opinion = ballot.opinion.hash
        self._counting.store(decoded)

    # ---- an earlier run ----

    def recover_from(self, layer: LayerId, opinion: Hash32, previous: Hash32) -> None:
        """Begin at a layer, knowing our opinion of it and of the one before; for a tortoise that knows nothing yet.

        Raises ValueError where the layer is not above the effective genesis.
        """
        state = self._state
        if layer <= self._parameters.effective_genesis:
            raise ValueError(f"recovery begins at layer {layer}, expected above {self._parameters.effective_genesis}")
        before = Layer(LayerId(layer - 1))
        before.opinion = previous
        state.layers.clear()
        state.evicted = state.processed = before.number
        state.pending = state.verified = state.last = layer
        self._counting.verifying.settled = state.evicted
        first = state.layer(layer)
        first.opinion, first.previous = opinion, before

    def on_recovered_blocks(self, layer: LayerId, blocks: Sequence[tuple[Vote, bool]], hare: BlockId | None) -> None:
        """The blocks of a layer with what was decided about each, and hare's output where it is still known."""
        state = self._state
        for vote, is_valid in blocks:
            if state.block(vote) is None:
                self.on_block(vote, is_valid=is_valid)
        if hare is not None:
            self.on_hare_output(layer, hare)
        elif not state.is_within_hdist(layer):
            known = state.layer(layer)
            known.hare_terminated = True
            for block in known.blocks:
                if block.validity == NEUTRAL:
                    block.validity = AGAINST
            self._counting.verifying.unsettle(layer)

    def update_verified(self, verified: LayerId) -> None:
        """Up to this layer all were verified."""
        self._state.verified = verified

    # ---- counting ----

    def tally(self, last: LayerId) -> None:
        """Count everything up to a layer, and verify what can be verified."""
        self._counting.tally(last)

    def update_last(self, last: LayerId) -> None:
        """The newest layer is this one, if it is newer."""
        self._counting.update_last(last)

    # ---- results and votes ----

    def updates(self) -> tuple[LayerResult, ...]:
        """What has changed since it was last taken (`on_applied`): the results of all layers from there on."""
        state = self._state
        if state.pending == 0:
            return ()
        return tuple(
            result_of(state, state.layer(number))
            for number in range(max(state.pending, state.evicted + 1), state.processed + 1)
        )

    def encode_votes(self, current: LayerId | None = None) -> Opinion:
        """The votes of a ballot in layer `current`, by default the one after the last. Raises CannotVote."""
        if self._counting.retriable:
            raise CannotVote(
                f"{len(self._counting.retriable)} ballots wait for the beacon of their epoch; no vote can be cast "
                "before they are counted",
                "not_drained",
            )
        at = LayerId(self._state.last + 1) if current is None else current
        return encode.encode_votes(self._state, self._counting.verifying, at)
