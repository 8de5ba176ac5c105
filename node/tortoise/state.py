"""What the tortoise remembers: layers with their blocks and opinions, ballots, and each epoch's weight and beacon.

Layers exist from the one above `evicted`, and come into being when they are first looked at. Protocol 06-tortoise,
sections 2 and 6.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Protocol

from node.tortoise.parameters import TortoiseParameters
from node.tortoise.votes import ABSTAIN, AGAINST, NEUTRAL, SUPPORT, Block, Chain, LayerVotes, Sign, order
from protocol.numbers import fixed
from protocol.types.ballots import Vote
from protocol.types.ids import AtxId, BallotId, Beacon, BlockId, EpochId, Hash32, LayerId, NodeId
from protocol.types.opinions import opinion_hash

NO_OPINION = Hash32(bytes(32))


@dataclass(frozen=True, slots=True)
class AtxInfo:
    """An ATX as the tortoise needs it."""

    node: NodeId
    weight: int
    """Space units times ticks."""
    height: int
    """Ticks at its end."""


class AtxData(Protocol):
    """The ATXs of the epochs, which the node keeps for all who ask. Epochs are those in which an ATX is active."""

    def get(self, epoch: EpochId, id: AtxId) -> AtxInfo | None:
        """One ATX; None where it is not known."""

    def median_height(self, epoch: EpochId) -> int:
        """Of the ATXs whose smesher is not marked as malicious: the mean of the middle two, cut off; 0 without any."""

    def missing(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those that are not known, in their order."""

    def evict(self, epoch: EpochId) -> None:
        """The epoch is outside the window."""


@dataclass(slots=True)
class Epoch:
    """One epoch. Mutable."""

    weight: int = 0
    """Of all its ATXs, raw 72.56."""
    height: int = 0
    """The median of ticks, computed when its first layer is processed."""
    beacon: Beacon | None = None


class Layer:
    """One layer. Mutable."""

    __slots__ = (
        "ballots",
        "bases",
        "blocks",
        "coin",
        "empty",
        "newest_base",
        "hare_terminated",
        "number",
        "opinion",
        "opinions",
        "previous",
        "ref_height",
    )

    def __init__(self, number: LayerId) -> None:
        self.number = number
        self.empty = 0
        """Weight of the votes for no block, less the weight of those for some; raw 72.56, signed."""
        self.hare_terminated = False
        self.blocks: list[Block] = []
        """By height and id."""
        self.ref_height = 0
        """The highest block not above the epoch's median, here or below."""
        self.coin: Sign = NEUTRAL
        self.ballots: list[BallotInfo] = []
        """As they came in."""
        self.bases: dict[Chain, BallotInfo] = {}
        """The first ballot of each chain, those of malicious smeshers left out."""
        self.newest_base: Chain = None
        """The chain of the last of them."""
        self.opinions: dict[Hash32, LayerVotes] = {}
        """The chains that ballots of this layer vote with."""
        self.opinion = NO_OPINION
        """Ours, up to this layer."""
        self.previous: Layer | None = None
        """The layer whose opinion ours stands on; it stays also when it is evicted, as its opinion is needed."""

    def terminate(self, block: bytes) -> bytes | None:
        """Take an output of hare; the id of the block that had it before."""
        self.hare_terminated = True
        before = None
        for one in self.blocks:
            if one.hare == SUPPORT:
                before = one.id
            one.hare = SUPPORT if one.id == block else AGAINST
        return before

    def compute_opinion(self, within_hdist: bool) -> bool:
        """Compute our opinion anew; whether it is another one."""
        supported: list[tuple[BlockId, int]] | None
        if not self.hare_terminated:
            supported = None
        elif within_hdist:
            supported = [(block.id, block.height) for block in self.blocks if block.hare == SUPPORT]
        else:
            supported = [(block.id, block.height) for block in self.blocks if block.validity == SUPPORT]
        before = self.opinion
        self.opinion = opinion_hash(self.previous.opinion if self.previous else None, supported)
        return self.opinion != before


@dataclass(frozen=True, slots=True)
class Reference:
    """What the first ballot of a smesher in an epoch says, and all its ballots of the epoch go by."""

    smesher: NodeId
    atx_id: AtxId
    total_eligibilities: int
    beacon: Beacon
    unit_weight: int
    """Of one eligibility, raw 72.56."""
    height: int
    """Ticks at the end of the ATX."""


def unit_weight(weight: int, eligibilities: int) -> int:
    """The weight of one eligibility, raw 72.56, with the roundings of the network for the reduced fraction."""
    common = gcd(weight, eligibilities)
    return fixed.ratio(weight // common, eligibilities // common)


class BallotInfo:
    """A ballot as it is counted. Mutable."""

    __slots__ = ("has_bad_beacon", "id", "is_malicious", "layer", "reference", "votes", "weight")

    def __init__(
        self, id: BallotId, layer: LayerId, reference: Reference, votes: LayerVotes, weight: int, is_malicious: bool
    ) -> None:
        self.id = id
        self.layer = layer
        self.reference = reference
        self.votes: Chain = votes
        self.weight = weight
        """Raw 72.56; 0 where it was malicious from the beginning."""
        self.is_malicious = is_malicious
        self.has_bad_beacon = False

    @property
    def opinion(self) -> Hash32:
        """The hash of everything that it votes for."""
        return self.votes.opinion if self.votes else NO_OPINION


@dataclass(slots=True)
class State:
    """Everything that is in memory. Mutable."""

    parameters: TortoiseParameters
    atxs: AtxData
    last: LayerId
    """The newest layer of which the tortoise was told."""
    processed: LayerId
    """The newest layer whose ballots were counted."""
    evicted: LayerId
    """The newest layer that is forgotten."""
    verified: LayerId
    """The newest layer up to which all are verified; 0 at the beginning."""
    pending: LayerId
    """From this layer on, results have changed and were not taken; 0: from none."""
    local_threshold: int = 0
    """Raw 72.56."""
    malicious: set[NodeId] = field(default_factory=set)
    epochs: dict[EpochId, Epoch] = field(default_factory=dict)
    layers: dict[LayerId, Layer] = field(default_factory=dict)
    ballots: dict[BallotId, BallotInfo] = field(default_factory=dict)

    def epoch_of(self, layer: int) -> EpochId:
        """The epoch that a layer belongs to."""
        return EpochId(layer // self.parameters.layers_per_epoch)

    def epoch(self, number: EpochId) -> Epoch:
        """An epoch, made where it was not known."""
        found = self.epochs.get(number)
        if found is None:
            found = self.epochs[number] = Epoch()
        return found

    def layer(self, number: int) -> Layer:
        """A layer above `evicted`, made where it was not known."""
        found = self.layers.get(LayerId(number))
        if found is None:
            if number <= self.evicted:
                raise ValueError(f"layer {number} is asked for, but layers up to {self.evicted} are evicted")
            found = self.layers[LayerId(number)] = Layer(LayerId(number))
        return found

    def is_within_hdist(self, layer: int, last: int | None = None) -> bool:
        """Whether votes on a layer follow hare."""
        return layer + self.parameters.hdist > (self.last if last is None else last)

    def note_pending(self, layer: LayerId) -> None:
        """Results from this layer on have changed."""
        self.pending = layer if self.pending == 0 else min(self.pending, layer)

    def block(self, of: Block | Vote) -> Block | None:
        """The known block with the same id, layer and height."""
        layer = self.layers.get(of.layer)
        if layer is not None:
            for block in layer.blocks:
                if block.id == of.id and block.height == of.height:
                    return block
        return None

    def insert(self, block: Block) -> Layer:
        """Make a block known in its layer, which it returns."""
        layer = self.layer(block.layer)
        if layer.hare_terminated:
            block.hare = AGAINST
        insort(layer.blocks, block, key=order)
        self.raise_ref_height(layer, block)
        return layer

    def raise_ref_height(self, layer: Layer, block: Block) -> None:
        """Keep up the layer's reference height with a block of it."""
        epoch = self.epochs.get(self.epoch_of(block.layer))
        if epoch is None:
            return
        if layer.ref_height == 0:
            layer.ref_height = self._ref_height_below(layer.number)
        if layer.ref_height < block.height <= epoch.height:
            layer.ref_height = block.height

    def _ref_height_below(self, number: LayerId) -> int:
        for below in range(number - 1, self.evicted, -1):
            layer = self.layers.get(LayerId(below))
            if layer is not None and layer.blocks:
                return layer.ref_height
        return 0

    def local_vote(self, block: Block, last: int) -> Sign:
        """What we vote for a block, seen from layer `last`."""
        if self.is_within_hdist(block.layer, last):
            return block.hare
        # a layer that was verified once, but is not any more, waits until it is again
        return ABSTAIN if block.layer > self.verified else block.validity
