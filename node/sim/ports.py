"""The ports of a simulated node: what comes of its demands, and when.

All virtual, but for VRF proofs. What a dishonest node is told of them instead is for its role to say (`Role.proves`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.contract.demands import (
    BootstrapDocument,
    CertifyAtPoet,
    Demand,
    DescribePost,
    Failed,
    HeldSpace,
    PoetProofOf,
    ProvenPost,
    ProvePost,
    ProveVrf,
    RegisterAtPoet,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.instants import Instant
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.types.activation import PostMetadataV1
from protocol.types.ids import AtxId, EpochId, NodeId

from .keys import SimKeys
from .proving import SharedProver
from .virtual import time as virtual_time
from .virtual.space import VirtualSpace
from .virtual.time import VirtualPoet

VRF_TIME = MILLISECOND
VERIFYING_TIME = 2 * MILLISECOND
SERVER_TIME = 50 * MILLISECOND
NO_SPACE = Failed("not_connected", "The identity has no space here.")


@dataclass(frozen=True, slots=True)
class Holding:
    """The space of an identity."""

    units: int
    commitment: AtxId


@dataclass(slots=True)
class Surroundings:
    """What all nodes of a world have around them."""

    space: VirtualSpace
    holdings: Mapping[NodeId, Holding]
    poets: Mapping[str, VirtualPoet] = field(default_factory=dict)
    documents: Mapping[EpochId, bytes] = field(default_factory=dict)
    """Published fallbacks, by epoch."""
    proving_time: int = 30 * SECOND


class Ports:
    """The ports of one node that are not its network."""

    def __init__(self, around: Surroundings, keys: SimKeys, prover: SharedProver) -> None:
        self._around = around
        self._keys = keys
        self._prover = prover

    def expect(self, demands: Sequence[Demand]) -> None:
        """These are about to be answered: VRF proofs are made together."""
        wanted = [
            (key, demand.alpha)
            for demand in demands
            if isinstance(demand, ProveVrf) and (key := self._keys.key(demand.identity)) is not None
        ]
        if len(wanted) > 1:
            self._prover.expect(wanted)

    def answer(self, demand: Demand, now: Instant) -> tuple[int, Result]:
        """What comes of a demand, and after how long. now: the time of the world."""
        around = self._around
        match demand:
            case ProveVrf(identity, alpha):
                key = self._keys.key(identity)
                return VRF_TIME, Failed("refused", "no such key") if key is None else self._prover.prove(key, alpha)
            case ProvePost(identity, challenge):
                return around.proving_time, self.prove(identity, challenge)
            case VerifyPost():
                return VERIFYING_TIME, around.space.verify(demand)
            case VerifyVrfNonce():
                return VERIFYING_TIME, around.space.verify_nonce(demand)
            case VerifyPoet():
                return VERIFYING_TIME, virtual_time.verify(demand)
            case DescribePost(identity):
                held = around.holdings.get(identity)
                return SERVER_TIME, NO_SPACE if held is None else HeldSpace(held.commitment, held.units)
            case CertifyAtPoet():
                return SERVER_TIME, Failed("no_certifier")
            case RegisterAtPoet(server, identity, challenge, _, deadline):
                return SERVER_TIME, around.poets[server].register(identity, challenge, deadline, now)
            case PoetProofOf(server, round_id):
                return SERVER_TIME, around.poets[server].proof(round_id, now)
            case BootstrapDocument(epoch):
                return SERVER_TIME, around.documents.get(epoch, Failed("not_found"))
            case _:
                return SERVER_TIME, Failed("refused", f"no port for {type(demand).__name__}")

    def prove(self, identity: NodeId, challenge: bytes) -> ProvenPost | Failed:
        """A proof of space of an identity of this node."""
        held, space = self._around.holdings.get(identity), self._around.space
        if held is None:
            return NO_SPACE
        post = space.prove(identity, held.commitment, challenge, held.units)
        metadata = PostMetadataV1(challenge, space.labels_per_unit)
        return ProvenPost(post, metadata, held.units, held.commitment, space.nonce(identity, held.commitment))
