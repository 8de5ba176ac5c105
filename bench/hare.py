"""Hare: the agreement of one layer, messages decoded and judged before, two iterations.

There is no baseline to run beside it; the figures of the network's own program on the same machine are in
`docs/benchmarks.md`. Protocol 05-consensus, section 5.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median

from bench.settings import Settings
from node.hare.gossip import HareInput
from node.hare.protocol import HareProtocol
from protocol.crypto.hashing import hash32
from protocol.types.hare import IterRound
from protocol.types.ids import EdSignature, Hash32, NodeId, ProposalId, VrfSignature

SENDERS = (50, 400)
PROPOSALS = 50
UNKNOWN = 5
"""Proposals that a sender does not have: no two lists are the same."""


def _layer(senders: int, dice: random.Random) -> tuple[HareProtocol, list[list[HareInput]]]:
    """A protocol, and the messages by the round in which they come."""
    ids = sorted(ProposalId(dice.randbytes(20)) for _ in range(PROPOSALS))
    nodes = [NodeId(dice.randbytes(32)) for _ in range(senders)]

    def message(node: NodeId, at: IterRound, proposals: tuple[ProposalId, ...], reference: Hash32 | None) -> HareInput:
        hash = Hash32(hash32(node, bytes((at.iter, at.round))))
        proof, signature = VrfSignature(dice.randbytes(80)), EdSignature(bytes(64))
        return HareInput(node, at, proposals, reference, hash, proof, 1, 5, False, signature)

    follower = HareProtocol(senders // 2 + 1)
    rounds: list[list[HareInput]] = []
    while True:
        output = follower.next()
        if output.is_terminated:
            return HareProtocol(senders // 2 + 1), rounds
        said = output.said
        made = []
        if said is not None:
            for node in nodes if said.at.round != 3 else nodes[:5]:
                known = tuple(sorted(dice.sample(ids, PROPOSALS - UNKNOWN))) if said.at.round == 0 else said.proposals
                made.append(message(node, said.at, known, said.reference))
        for one in made:
            follower.on_input(one)
        rounds.append(made)


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Milliseconds of processor time a layer; `show` prints them as they come."""
    figures: dict[str, object] = {}
    for senders in SENDERS:
        times = []
        for seed in range(settings.rounds * 3):
            protocol, rounds = _layer(senders, random.Random(seed))
            start = time.process_time()
            result = None
            for messages in rounds:
                result = protocol.next().result or result
                for message in messages:
                    protocol.on_input(message)
            ended = protocol.next().is_terminated
            times.append((time.process_time() - start) * 1e3)
            assert ended and result, "the committee agrees"
        show(f"hare, {senders} senders, {PROPOSALS} proposals: {median(times):.2f} ms a layer")
        figures[str(senders)] = median(times)
    return figures
