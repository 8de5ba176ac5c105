"""Tortoise: a layer tallied at the end of a full window, ballots decoded and stored, votes encoded.

There is no baseline to run beside it; the figures of the network's own program on the same machine are in
`docs/benchmarks.md`. Protocol 06-tortoise.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from bench.settings import Settings, beside
from node.tortoise.ballots import EpochClaim, TortoiseBallot
from node.tortoise.parameters import TortoiseParameters
from node.tortoise.state import AtxInfo
from node.tortoise.tortoise import Tortoise
from node.tortoise.trace import AtxTable
from protocol.types.ballots import Opinion, Vote
from protocol.types.ids import AtxId, BallotId, Beacon, BlockId, EpochId, LayerId, NodeId

LAYERS_PER_EPOCH = 576
EPOCHS = 7
"""In the window of 4,032 layers."""
MEASURED = 60
"""Layers of the epoch after it, of which all figures are medians."""
FEW = 5
"""Smeshers of the epochs before: what a layer costs does not depend on the ballots of old ones, but memory does."""
ASKED_MS = {50: 0.96, 1000: 1.36, 5000: 4.48}
"""Ballots a layer: milliseconds for its tally, 3, 1 and 0.7 times as long as the reference takes."""
ASKED_ENCODE_MS = 10.0
ASKED_STORE_US = 60.0
ASKED_BYTES = 1024
"""Of a ballot."""


@dataclass(slots=True)
class Chain:
    """One tortoise at work. Times are processor time in seconds."""

    ballots: int
    epochs: int = EPOCHS
    has_hare: bool = True
    """Whether hare ends in the measured layers."""
    tally: list[float] = field(default_factory=list)
    store: list[float] = field(default_factory=list)
    encode: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Fill the window, then measure."""
        dice = random.Random(1)
        genesis = LayerId(2 * LAYERS_PER_EPOCH - 1)
        window = self.epochs * LAYERS_PER_EPOCH
        atxs = AtxTable()
        tortoise = Tortoise(TortoiseParameters(LAYERS_PER_EPOCH, genesis, 10, 2, window, 1000, window), atxs)
        measured = genesis + window + 1
        smeshers: list[NodeId] = []
        firsts: dict[NodeId, BallotId] = {}
        for number in range(genesis + 1, measured + MEASURED):
            layer, epoch = LayerId(number), EpochId(number // LAYERS_PER_EPOCH)
            beacon = Beacon(epoch.to_bytes(4, "little"))
            if epoch not in atxs.epochs:
                smeshers = [NodeId(dice.randbytes(32)) for _ in range(self.ballots if layer >= measured else FEW)]
                firsts = {}
                known = atxs.epochs[epoch] = {}
                for node in smeshers:
                    known[AtxId(beacon + node[4:])] = AtxInfo(node, 10**9 // len(smeshers), 1000)
                    tortoise.on_atx(epoch, node, 10**9 // len(smeshers))
                tortoise.on_beacon(epoch, beacon)
            tortoise.on_weak_coin(LayerId(layer - 1), True)
            start = time.process_time()
            opinion = tortoise.encode_votes(layer)
            encoded = time.process_time()
            made = [_ballot(dice, node, layer, opinion, beacon, firsts) for node in smeshers]
            before = time.process_time()
            for ballot in made:
                tortoise.store(tortoise.decode(ballot))
            stored = time.process_time()
            block = Vote(BlockId(dice.randbytes(20)), layer, 500)
            tortoise.on_block(block)
            if self.has_hare or layer < measured:
                tortoise.on_hare_output(layer, block.id)
            at_end = time.process_time()
            tortoise.tally(layer)
            if layer >= measured:
                self.tally.append(time.process_time() - at_end)
                self.store.append((stored - before) / len(made))
                self.encode.append(encoded - start)
            for result in tortoise.updates():
                tortoise.on_applied(result.layer, result.opinion)


def _ballot(
    dice: random.Random,
    node: NodeId,
    layer: LayerId,
    opinion: Opinion,
    beacon: Beacon,
    firsts: dict[NodeId, BallotId],
) -> TortoiseBallot:
    id = BallotId(dice.randbytes(20))
    first = firsts.setdefault(node, id)
    claim = EpochClaim(beacon, LAYERS_PER_EPOCH) if first == id else None
    return TortoiseBallot(id, node, layer, AtxId(beacon + node[4:]), 1, opinion, claim, None if claim else first)


def _bytes_a_ballot(count: int = 20_000) -> float:
    """What a ballot that is stored takes, its fields and its place in the indexes."""
    parameters = TortoiseParameters(LAYERS_PER_EPOCH, LayerId(2 * LAYERS_PER_EPOCH - 1), 10, 2, 4032, 1000, 4032)
    atxs, dice = AtxTable(), random.Random(1)
    tortoise = Tortoise(parameters, atxs)
    node, beacon = NodeId(dice.randbytes(32)), Beacon(bytes(4))
    atxs.epochs[EpochId(2)] = {AtxId(beacon + node[4:]): AtxInfo(node, 10**9, 1000)}
    opinion, firsts = tortoise.encode_votes(), dict[NodeId, BallotId]()
    layer = LayerId(2 * LAYERS_PER_EPOCH)
    tracemalloc.start()
    for _ in range(count):
        tortoise.store(tortoise.decode(_ballot(dice, node, layer, opinion, beacon, firsts)))
    found = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    return found


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Processor time: milliseconds a layer, microseconds a ballot; bytes a ballot. `show` prints them as they come."""
    held = _bytes_a_ballot()
    show(f"a stored ballot takes {beside(held, ASKED_BYTES, 'bytes')}")
    figures: dict[str, object] = {"bytes_a_ballot": held}
    for ballots, asked in ASKED_MS.items():
        chain = Chain(ballots)
        chain.run()
        tally, encode = (median(times) * 1e3 for times in (chain.tally, chain.encode))
        store = median(chain.store) * 1e6
        show(
            f"{ballots} ballots a layer, window of {EPOCHS * LAYERS_PER_EPOCH}: tally {beside(tally, asked, 'ms')}, "
            f"decode and store a ballot {beside(store, ASKED_STORE_US, 'µs')}, encode votes {encode:.2f} ms"
        )
        figures[str(ballots)] = {"tally_ms": tally, "asked_ms": asked, "store_us": store, "encode_ms": encode}
    late = Chain(1000, epochs=1, has_hare=False)
    late.run()
    worst = max(late.encode) * 1e3
    show(
        f"encode votes over 1,000 ballots a layer while hare does not end, at most: "
        f"{beside(worst, ASKED_ENCODE_MS, 'ms')}"
    )
    return figures | {"encode_without_hare_ms": worst}
