"""Smeshers who all run the tortoise of one node: each layer everyone casts a ballot, a block is made, hare ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.tortoise.ballots import EpochClaim, TortoiseBallot
from node.tortoise.parameters import HistoricalWindow, TortoiseParameters
from node.tortoise.state import AtxInfo
from node.tortoise.tortoise import Tortoise
from node.tortoise.trace import AtxTable
from protocol.types.ballots import Opinion, Vote
from protocol.types.ids import EMPTY_BLOCK_ID, AtxId, BallotId, Beacon, BlockId, EpochId, Hash32, LayerId, NodeId

WEIGHT, HEIGHT = 1000, 100


def parameters(
    *,
    layers_per_epoch: int = 5,
    hdist: int = 4,
    zdist: int = 2,
    window: int = 20,
    historical: Sequence[HistoricalWindow] = (),
) -> TortoiseParameters:
    """Small distances; two epochs of genesis."""
    genesis = LayerId(2 * layers_per_epoch - 1)
    return TortoiseParameters(layers_per_epoch, genesis, hdist, zdist, window, 1000, 5, historical)


@dataclass
class Network:
    """One tortoise, fed by smeshers who vote as it does."""

    parameters: TortoiseParameters
    smeshers: int = 5
    seed: int = 1
    tortoise: Tortoise = field(init=False)
    blocks: dict[LayerId, list[Vote]] = field(default_factory=dict)
    hare: dict[LayerId, BlockId] = field(default_factory=dict)
    ballots: dict[LayerId, list[TortoiseBallot]] = field(default_factory=dict)
    coins: dict[LayerId, bool] = field(default_factory=dict)
    opinions: dict[LayerId, Hash32] = field(default_factory=dict)
    validity: dict[BlockId, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.atxs = AtxTable()
        self.tortoise = Tortoise(self.parameters, self.atxs)
        self.dice = random.Random(self.seed)
        self.nodes = [NodeId(self.dice.randbytes(32)) for _ in range(self.smeshers)]
        self.layer = self.parameters.effective_genesis
        self._first: dict[tuple[EpochId, NodeId], BallotId] = {}
        self._add_epoch(self._epoch(self.layer + 1))

    def _epoch(self, layer: int) -> EpochId:
        return EpochId(layer // self.parameters.layers_per_epoch)

    def beacon(self, epoch: EpochId) -> Beacon:
        return Beacon(epoch.to_bytes(4, "little"))

    def atx_id(self, epoch: EpochId, node: NodeId) -> AtxId:
        return AtxId(epoch.to_bytes(4, "little") + node[4:])

    def _add_epoch(self, epoch: EpochId) -> None:
        for node in self.nodes:
            self.atxs.epochs.setdefault(epoch, {})[self.atx_id(epoch, node)] = AtxInfo(node, WEIGHT, HEIGHT)
            self.tortoise.on_atx(epoch, node, WEIGHT)
        self.tortoise.on_beacon(epoch, self.beacon(epoch))

    def ballot(self, node: NodeId, layer: LayerId, opinion: Opinion, beacon: Beacon | None = None) -> TortoiseBallot:
        """A ballot of a smesher; its first one of an epoch says what the others go by."""
        epoch = self._epoch(layer)
        id = BallotId(self.dice.randbytes(20))
        first = self._first.setdefault((epoch, node), id)
        claim = EpochClaim(beacon or self.beacon(epoch), self.parameters.layers_per_epoch)
        return TortoiseBallot(
            id,
            node,
            layer,
            self.atx_id(epoch, node),
            1,
            opinion,
            claim if first == id else None,
            None if first == id else first,
        )

    def step(
        self, *, voters: int | None = None, hare: bool | None = True, tally: bool = True, coin: bool | None = True
    ) -> None:
        """One layer. hare: True ends with the layer's block, False with none, None does not end."""
        self.layer = layer = LayerId(self.layer + 1)
        if layer % self.parameters.layers_per_epoch == 0 and self._epoch(layer) not in self.atxs.epochs:
            self._add_epoch(self._epoch(layer))
        if coin is not None:
            self.coins[LayerId(layer - 1)] = coin
            self.tortoise.on_weak_coin(LayerId(layer - 1), coin)
        opinion = self.tortoise.encode_votes(layer)
        for node in self.nodes[:voters]:
            ballot = self.ballot(node, layer, opinion)
            self.ballots.setdefault(layer, []).append(ballot)
            self.tortoise.store(self.tortoise.decode(ballot))
        block = Vote(BlockId(self.dice.randbytes(20)), layer, HEIGHT)
        self.blocks.setdefault(layer, []).append(block)
        self.tortoise.on_block(block)
        if hare is not None:
            self.hare[layer] = block.id if hare else EMPTY_BLOCK_ID
            self.tortoise.on_hare_output(layer, self.hare[layer])
        if tally:
            self.tortoise.tally(layer)

    def take(self) -> None:
        """Take all results, as the mesh does."""
        for result in self.tortoise.updates():
            self.opinions[result.layer] = result.opinion
            for block in result.blocks:
                if block.is_valid or block.is_invalid:
                    self.validity[block.vote.id] = block.is_valid
            assert self.tortoise.on_applied(result.layer, result.opinion)
