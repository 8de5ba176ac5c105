"""A network of short epochs, and who stands in for the world of a smesher: PoET servers and provers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from node.activation.smeshing.parameters import SmeshingParameters
from node.activation.smeshing.times import Timeline
from node.contract.demands import (
    Failed,
    PoetProofOf,
    ProvenPost,
    ProvePost,
    RegisterAtPoet,
    Registered,
    Result,
    RoundProof,
)
from node.contract.instants import Instant
from protocol.crypto import signing
from protocol.crypto.merkle import root_of
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import EpochId, Hash32
from protocol.types.poet import MerkleProof, PoetProof, PoetProofMessage
from tests.node.activation.forge import GOLDEN, LABELS, TICK
from tests.node.contract.world import GENESIS, GENESIS_ID, LAYER, Key

T = TypeVar("T")

EPOCH = 12
"""Layers."""
TIME = NetworkTime(GENESIS, LAYER, EPOCH)
A, B, C = Key(1), Key(2), Key(3)
DOWN = 10 * SECOND
"""How long a restart takes."""
POET_A, POET_B = "http://a", "http://b"
PARAMETERS = SmeshingParameters(
    servers=(POET_A, POET_B),
    phase_shift=1200 * SECOND,
    cycle_gap=600 * SECOND,
    grace_period=300 * SECOND,
    positioning_timeout=120 * SECOND,
    poet_retry=20 * SECOND,
    post_valid_delay=1 << 62,
)
TIMELINE = Timeline(TIME, PARAMETERS)


@dataclass
class Poet:
    """A PoET server: a round an epoch, with everybody who registered in time."""

    timeline: Timeline
    leaf_count: int = 50 * TICK
    is_up: bool = True
    """Whether it takes registrations."""
    has_proofs: bool = True
    forgets: bool = False
    """Whether it registers a challenge, and makes its round without it."""
    rounds: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    """Challenges by identity, by round."""
    registered: list[RegisterAtPoet] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Rounds whose proofs were asked for."""

    def register(self, work: RegisterAtPoet, now: Instant) -> Result:
        if not self.is_up:
            return Failed("unreachable", "connection refused")
        assert now <= work.deadline, "asked too late"
        assert signing.verify(Domain.POET, work.identity, work.challenge, work.signature, GENESIS_ID)
        number = next(e for e in range(1 << 20) if self.timeline.round_start(EpochId(e + 1)) >= now)
        round = self.rounds.setdefault(number, {})
        if round.get(work.identity, work.challenge) != work.challenge:
            return Failed("conflict", "another challenge is registered")
        round[bytes(work.identity)] = work.challenge
        self.registered.append(work)
        return Registered(str(number), self.timeline.round_end(EpochId(number + 1)))

    def proof(self, work: PoetProofOf, now: Instant) -> Result:
        self.asked.append(work.round_id)
        number = int(work.round_id)
        if not self.has_proofs or number not in self.rounds or now < self.timeline.round_end(EpochId(number + 1)):
            return Failed("not_found", "no such proof")
        members = sorted(set(self.rounds[number].values())) if not self.forgets else []
        members += [bytes([number]) * 32]  # somebody else
        root = root_of(members)
        proof = PoetProof(MerkleProof(root, (), ()), self.leaf_count)
        return RoundProof(PoetProofMessage(proof, b"poet", work.round_id.encode(), Hash32(root)), tuple(members))


@dataclass
class Prover:
    """The prover of an identity."""

    number: int
    takes: int = 60 * SECOND
    is_connected: bool = True
    units: int = 10
    nonce: int | None = None
    failures: list[Result] = field(default_factory=list)
    """What it gives first."""
    challenges: list[bytes] = field(default_factory=list)
    """What it was asked for."""
    ready: dict[bytes, int] = field(default_factory=dict)
    """When a proof that was begun is done: it works on while the node is down."""

    def post(self, challenge: bytes) -> PostV1:
        return PostV1(self.number, challenge[:8], len(self.challenges))

    def prove(self, work: ProvePost) -> Result:
        self.challenges.append(work.challenge)
        self.ready.pop(work.challenge, None)
        if not self.is_connected:
            return Failed("not_connected")
        if self.failures:
            return self.failures.pop(0)
        metadata = PostMetadataV1(work.challenge, LABELS)
        nonce = 100 + self.number if self.nonce is None else self.nonce
        return ProvenPost(self.post(work.challenge), metadata, self.units, GOLDEN, nonce)
