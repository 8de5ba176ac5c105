"""Hare: the agreement of one layer, messages decoded and judged before, two iterations; and a burst of messages judged.

There is no baseline to run beside it; the figures of the network's own program on the same machine are in
`docs/benchmarks.md`. Protocol 05-consensus, section 5.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from bench.settings import Settings, beside
from node.beacon.machine import BEACONS
from node.blocks.patrol import LayerPatrol
from node.contract.checks import NetworkChecker
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.owed import OWED
from node.contract.ports import Signer
from node.eligibility.active_set import ActiveSet, Member
from node.eligibility.committee import Stake, counts
from node.engine.edges import Judge
from node.engine.engine import Engine
from node.hare.gossip import HareInput
from node.hare.machine import HareMachine
from node.hare.parameters import FIRST, NEVER, HareParameters
from node.hare.proposals import Heights, LayerProposal
from node.hare.protocol import HareProtocol
from node.malfeasance.tables import MARKS, PROOFS
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.crypto import signing
from protocol.crypto.hashing import hash32
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.eligibility import hare_input
from protocol.types.hare import Hare3Body, Hare3Message, Hare3Value, HareEligibility, IterRound, signed_bytes
from protocol.types.ids import (
    AtxId,
    Beacon,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
    VrfSignature,
)

ASKED_MS = {50: 4.24, 400: 37.6}
"""Senders: milliseconds a layer, four times as long as the reference takes."""
PROPOSALS = 50
GENESIS_ID = b"a network to measure"
MEMBERS, WEIGHT, SEATS = 400, 100, 1600
"""Of a burst: so many seats that nearly every member has some."""
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
    for senders, asked in ASKED_MS.items():
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
        show(f"hare, {senders} senders, {PROPOSALS} proposals: a layer in {beside(median(times), asked, 'ms')}")
        figures[str(senders)] = {"ms": median(times), "asked_ms": asked}
    bursts = [_burst_us() for _ in range(settings.rounds + 1)][1:]
    show(f"hare, a burst of {MEMBERS} preround messages, all checks: {median(bursts):.0f} µs each")
    figures["burst_us"] = median(bursts)
    return figures


class _Signer:
    """A Signer."""

    def __init__(self, number: int) -> None:
        self.key = signing.Signer(number.to_bytes(32, "big"), GENESIS_ID)
        self.identity = NodeId(self.key.public_key)

    def sign(self, domain: Domain, message: bytes) -> EdSignature:
        return EdSignature(self.key.sign(domain, message))


class _Around:
    """What the machine asks of other rooms: an active set, and nothing else."""

    def __init__(self, active: ActiveSet) -> None:
        self._active = active

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        return self._active

    def of_layer(self, layer: LayerId) -> Sequence[LayerProposal]:
        return ()

    def get(self, epoch: EpochId, id: AtxId) -> Heights | None:
        return None

    def by_node(self, epoch: EpochId, node: NodeId) -> Sequence[Heights]:
        return ()

    def on_weak_coin(self, layer: LayerId, is_heads: bool) -> None:
        pass

    def signers(self) -> Sequence[Signer]:
        return ()

    def stop(self, identity: NodeId, sentence: str) -> None:
        pass


def _burst_us() -> float:
    """Microseconds of processor time a message: decoded, signature and proof checked, seats, graded gossip."""
    members = [_Signer(number) for number in range(1, MEMBERS + 1)]
    active = ActiveSet({one.identity: Member(AtxId(one.identity), WEIGHT) for one in members}, MEMBERS * WEIGHT)
    rules = HareParameters(True, LayerId(0), NEVER, "/h/3.0", SEATS, 5, 4, 25 * SECOND, 12 * SECOND)
    around, layer, beacon = _Around(active), LayerId(8), Beacon(b"\1\2\3\4")
    burst = []
    for one in members:
        proof = VrfSignature(one.key.prove(hare_input(beacon, 0, layer)))
        count = counts(SEATS, active.total, [Stake(WEIGHT, proof)])[0]
        ids = tuple(ProposalId(number.to_bytes(20, "big")) for number in range(PROPOSALS))
        body = Hare3Body(layer, FIRST, Hare3Value(ids), HareEligibility(proof, count))
        signature = one.sign(Domain.HARE, signed_bytes(body))
        data = Hare3Message.codec.encode(Hare3Message(body, one.identity, signature))
        burst.append(Message("/h/3.0", data, Origin.GOSSIP, Instant(0), PeerId(b"peer")))
    time_of = NetworkTime(0, 300 * SECOND, 4)
    off = replace(rules, is_enabled=False, topic="/h/4.0")
    hare = HareMachine(rules, off, time_of, around, around, around, around, LayerPatrol(), around, lambda: True)
    store = Store.in_memory(Schema("state", 1, (OWED, BEACONS, PROOFS, MARKS)))
    rows = Rows(store.view())
    rows.put(BEACONS, EpochId(2), beacon)
    store.write(rows)
    stores = Stores(store, OwnStore(Schema("own", 1, (SIGNED,)), MemoryBackend()))
    engine, now = Engine([hare], stores, NetworkChecker(GENESIS_ID)), Instant(time_of.start_ns(layer))
    engine.start(Instant(0))
    engine.turn([Tick(layer, now)], now)
    start = time.process_time()
    judged = [output for output in engine.turn(burst, now) if isinstance(output, Judge)]
    used = time.process_time() - start
    assert sum(one.verdict.is_accepted for one in judged) > MEMBERS * 0.9, "they have seats"
    return used / len(burst) * 1e6
