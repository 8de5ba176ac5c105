"""What interfaces and the log are told of smeshing. Protocol 02-poet-client, section 9."""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.instants import Instant
from protocol.types.ids import AtxId, EpochId, NodeId


@dataclass(frozen=True, slots=True)
class WaitsForRegistration:
    """The challenge of an epoch is made later."""

    identity: NodeId
    publish_epoch: EpochId
    until: Instant


@dataclass(frozen=True, slots=True)
class ChallengeMade:
    """A challenge is made; it is registered from now on."""

    identity: NodeId
    publish_epoch: EpochId
    positioning_atx: AtxId


@dataclass(frozen=True, slots=True)
class ChallengeDropped:
    """An activation cannot be finished; the next one is planned."""

    identity: NodeId
    publish_epoch: EpochId
    sentence: str


@dataclass(frozen=True, slots=True)
class RegisteredAt:
    """A PoET server has taken the challenge."""

    identity: NodeId
    server: str
    round_id: str
    round_end: Instant


@dataclass(frozen=True, slots=True)
class NotRegisteredAt:
    """A PoET server has not. Unless it has another challenge, it is asked again until the round starts."""

    identity: NodeId
    server: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RoundProofTaken:
    """The proof of a round is here, and holds."""

    server: str
    round_id: str
    leaf_count: int


@dataclass(frozen=True, slots=True)
class RoundProofMissing:
    """A server gave no proof of a round, or one that does not hold. It is asked again."""

    server: str
    round_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class NotAMember:
    """A server registered a challenge and did not count it among the members of the round."""

    identity: NodeId
    server: str
    round_id: str


@dataclass(frozen=True, slots=True)
class BestProofSelected:
    """Of all proofs, the one of the most leaves."""

    identity: NodeId
    server: str
    round_id: str
    leaf_count: int


@dataclass(frozen=True, slots=True)
class PostState:
    """Whether the prover of an identity is at work."""

    identity: NodeId
    is_proving: bool
    challenge: bytes
    """What it proves for; zeros: the initial proof."""


@dataclass(frozen=True, slots=True)
class ProofNotMade:
    """A proof of space is not there, or does not hold. It is made again."""

    identity: NodeId
    sentence: str


@dataclass(frozen=True, slots=True)
class Published:
    """An activation is out. identities: whose proofs are in it."""

    identity: NodeId
    publish_epoch: EpochId
    atx: AtxId
    identities: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class NotPublished:
    """An activation is not out yet. It is tried again in the next layer, as long as its epoch lasts."""

    identity: NodeId
    publish_epoch: EpochId
    sentence: str
